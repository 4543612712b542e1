"""How bandwidth budgets are shared among running jobs.

Max-min fairness by progressive filling (Bertsekas and Gallager, Data Networks, section 6.5.2): the
jobs that have least grow alike, until a budget is used up or a job has all that it can use.
All figures are whole bytes a second.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

#: The least that a job gets, if it wants so much. rclone moves pieces of 32 KiB, four files at a
#: time, and follows a change only when these have passed: below, it would not notice for minutes
#: that it may go faster.
LEAST = 32 * 1024

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Demand:
    """``wanted``: the most that a job can use now, its own limit included; None: all that it gets.
    ``budgets``: the budgets that it draws on. ``place``: of two jobs of which one has to wait, that
    is the one with the higher number."""

    wanted: int | None
    budgets: frozenset[int]
    place: int = 0


def fair_shares(demands: Mapping[K, Demand], budgets: Mapping[int, int]) -> dict[K, int | None]:
    """Returns the share of each job; None for a job that no budget limits.

    First every job gets what it wants as far as that is fair. What is left then goes to those that
    may want more in a moment: a job that is alone is allowed the whole budget. Where a budget has
    less than ``LEAST`` for each, the last jobs get nothing: they wait for the others.
    """
    limited = _limited(demands, budgets)
    sharing = _admitted(limited, budgets)
    shares = dict.fromkeys(limited, 0) | fill(sharing, budgets)
    growing = {key: replace(one, wanted=None) for key, one in sharing.items()}
    left = {name: budgets[name] - _used(name, limited, shares) for name in budgets}
    shares |= fill(growing, left, {key: shares[key] for key in growing})
    return {key: shares.get(key) for key in demands}


def fill(
    demands: Mapping[K, Demand],
    budgets: Mapping[int, int],
    begin: Mapping[K, int] | None = None,
) -> dict[K, int]:
    """Shares out the budgets, on top of what the jobs ``begin`` with; the lowest grow first. Each
    job must draw on one of the budgets at least."""
    shares = dict(begin) if begin else dict.fromkeys(demands, 0)
    left = dict(budgets)
    growing = {key: one for key, one in demands.items() if _may_grow(one, shares[key], left)}
    while growing:
        level = min(shares[key] for key in growing)
        lowest = {key: one for key, one in growing.items() if shares[key] == level}
        takers = {name: _count(name, lowest.values()) for name in left}
        steps = [left[name] // number for name, number in takers.items() if number]
        steps += [one.wanted - level for one in lowest.values() if one.wanted is not None]
        steps += [shares[key] - level for key in growing if shares[key] > level]
        step = max(0, min(steps))
        for key in lowest:
            shares[key] += step
        for name, number in takers.items():
            left[name] -= step * number
        # A budget that has not a byte for each of its lowest jobs is used up.
        spent = {name for name, number in takers.items() if number and left[name] < number}
        for key, one in lowest.items():
            if one.budgets & spent or shares[key] == one.wanted:
                del growing[key]
    return shares


def _limited(demands: Mapping[K, Demand], budgets: Mapping[int, int]) -> dict[K, Demand]:
    found = {
        key: replace(one, budgets=one.budgets.intersection(budgets)) for key, one in demands.items()
    }
    return {key: one for key, one in found.items() if one.budgets}


def _admitted(demands: Mapping[K, Demand], budgets: Mapping[int, int]) -> dict[K, Demand]:
    """Those that want anything and need not wait. The first of each budget never waits."""
    admitted: dict[K, Demand] = {}
    left = dict(budgets)
    for key, one in sorted(demands.items(), key=lambda item: item[1].place):
        wanted = LEAST if one.wanted is None else one.wanted
        least = min(LEAST, wanted, *(budgets[name] for name in one.budgets))
        if least and all(left[name] >= least for name in one.budgets):
            admitted[key] = one
            for name in one.budgets:
                left[name] -= least
    return admitted


def _may_grow(demand: Demand, share: int, left: Mapping[int, int]) -> bool:
    wants_more = demand.wanted is None or demand.wanted > share
    return wants_more and all(left[name] > 0 for name in demand.budgets)


def _used(name: int, demands: Mapping[K, Demand], shares: Mapping[K, int]) -> int:
    return sum(shares[key] for key, one in demands.items() if name in one.budgets)


def _count(name: int, demands: Iterable[Demand]) -> int:
    return sum(name in one.budgets for one in demands)
