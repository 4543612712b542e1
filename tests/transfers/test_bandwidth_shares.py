"""Shares of bandwidth budgets: fair, never more than there is, and nothing is left lying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.transfers.bandwidth_shares import LEAST, Demand, fair_shares, fill

PORTAL, NAS, CLOUD = 0, 1, 2
MIB = 1024 * 1024


def jobs(*wanted: int | None, on: frozenset[int] = frozenset({PORTAL})) -> dict[int, Demand]:
    return {number: Demand(one, on) for number, one in enumerate(wanted)}


def jain(values: list[int]) -> float:
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


#: Enough for each of the jobs below, and any.
_AMPLE = st.dictionaries(st.integers(0, 3), st.integers(30 * LEAST, 10**9), max_size=4)
_BUDGETS = st.dictionaries(st.integers(0, 3), st.integers(1, 10**9), max_size=4)
_DEMANDS = st.dictionaries(
    st.integers(0, 10_000),
    st.builds(
        Demand,
        st.one_of(st.none(), st.integers(0, 10**9)),
        st.frozensets(st.integers(0, 3), max_size=3),
    ),
    max_size=30,
).map(lambda found: {key: replace(one, place=key) for key, one in found.items()})
many = settings(max_examples=100, deadline=None)


def used(name: int, demands: Mapping[int, Demand], shares: Mapping[int, int | None]) -> int:
    return sum(shares[key] or 0 for key, one in demands.items() if name in one.budgets)


@many
@given(_DEMANDS, _BUDGETS)
def test_no_budget_is_ever_exceeded(demands: dict[int, Demand], budgets: dict[int, int]) -> None:
    shares = fair_shares(demands, budgets)
    assert shares.keys() == demands.keys()
    assert all(used(name, demands, shares) <= most for name, most in budgets.items())


@many
@given(_DEMANDS, _BUDGETS)
def test_exactly_the_jobs_of_no_budget_have_no_share(
    demands: dict[int, Demand], budgets: dict[int, int]
) -> None:
    free = {key for key, share in fair_shares(demands, budgets).items() if share is None}
    assert free == {key for key, one in demands.items() if not one.budgets & budgets.keys()}


@many
@given(_DEMANDS, _BUDGETS)
def test_who_gets_less_than_it_wants_has_a_budget_that_is_used_up_by_others_with_no_more(
    demands: dict[int, Demand], budgets: dict[int, int]
) -> None:
    # This is what max-min fairness means.
    limited = {
        key: Demand(one.wanted, one.budgets & budgets.keys())
        for key, one in demands.items()
        if one.budgets & budgets.keys()
    }
    shares = fill(limited, budgets)
    for key, one in limited.items():
        assert one.wanted is None or shares[key] <= one.wanted
        if shares[key] == one.wanted:
            continue
        assert any(
            budgets[name] - used(name, limited, shares) < len(limited)
            and shares[key] == max(shares[k] for k, o in limited.items() if name in o.budgets)
            for name in one.budgets
        )


@many
@given(_DEMANDS, _AMPLE)
def test_nobody_starves_who_wants_anything(
    demands: dict[int, Demand], budgets: dict[int, int]
) -> None:
    shares = fair_shares(demands, budgets)
    for key, one in demands.items():
        if shares[key] is not None and one.wanted != 0:
            assert shares[key] >= 1


@many
@given(_DEMANDS, _AMPLE)
def test_what_is_left_over_is_used_if_anyone_may_use_it(
    demands: dict[int, Demand], budgets: dict[int, int]
) -> None:
    shares = fair_shares(demands, budgets)
    left = {name: most - used(name, demands, shares) for name, most in budgets.items()}
    for one in demands.values():
        its_budgets = one.budgets & budgets.keys()
        if its_budgets and one.wanted != 0:
            assert min(left[name] for name in its_budgets) < len(demands)


@many
@given(_DEMANDS, _BUDGETS, st.randoms())
def test_the_order_of_the_jobs_does_not_matter(
    demands: dict[int, Demand], budgets: dict[int, int], random: object
) -> None:
    items = list(demands.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert fair_shares(dict(items), budgets) == fair_shares(demands, budgets)


@many
@given(st.integers(1, 60), st.integers(60 * LEAST, 10**10))
def test_jobs_that_want_alike_get_alike(number: int, budget: int) -> None:
    shares = [
        share or 0 for share in fair_shares(jobs(*[None] * number), {PORTAL: budget}).values()
    ]
    assert jain(shares) >= 0.999
    assert sum(shares) > budget - number


def test_what_one_job_does_not_use_is_lent_to_the_others() -> None:
    shares = fair_shares(jobs(1 * MIB, None, None), {PORTAL: 10 * MIB})
    assert shares == {0: 1 * MIB, 1: 4.5 * MIB, 2: 4.5 * MIB}


def test_one_job_alone_is_allowed_everything_whatever_it_uses() -> None:
    assert fair_shares(jobs(1 * MIB), {PORTAL: 10 * MIB}) == {0: 10 * MIB}


def test_jobs_that_use_less_than_there_is_are_allowed_alike() -> None:
    assert fair_shares(jobs(1, 3 * MIB), {PORTAL: 10 * MIB}) == {0: 5 * MIB, 1: 5 * MIB}


def test_paused_job_gets_nothing() -> None:
    assert fair_shares(jobs(0, None), {PORTAL: 10 * MIB}) == {0: 0, 1: 10 * MIB}


def test_job_gets_the_smallest_of_what_its_budgets_allow() -> None:
    demands = {
        "to the nas": Demand(None, frozenset({PORTAL, NAS})),
        "from nas to cloud": Demand(None, frozenset({PORTAL, NAS, CLOUD})),
        "local": Demand(None, frozenset({PORTAL})),
    }
    budgets = {PORTAL: 12 * MIB, NAS: 6 * MIB, CLOUD: 1 * MIB}
    assert fair_shares(demands, budgets) == {
        "to the nas": 5 * MIB,
        "from nas to cloud": 1 * MIB,
        "local": 6 * MIB,
    }


def test_where_there_is_too_little_for_all_the_last_jobs_wait_for_the_others() -> None:
    demands = {number: Demand(None, frozenset({PORTAL}), place=-number) for number in range(10)}
    shares = fair_shares(demands, {PORTAL: 3 * LEAST + 5})
    served = {number for number, share in shares.items() if share}
    assert served == {7, 8, 9}, "those with the lowest places"
    assert {shares[number] for number in served} == {LEAST + 1}


@pytest.mark.parametrize("budget", [1, 10_000, LEAST, LEAST + 1])
def test_first_job_never_waits_however_small_the_budget(budget: int) -> None:
    demands = {number: Demand(None, frozenset({PORTAL}), place=number) for number in range(3)}
    assert fair_shares(demands, {PORTAL: budget}) == {0: budget, 1: 0, 2: 0}


def test_job_that_wants_little_does_not_wait_for_what_it_does_not_want() -> None:
    demands = {
        0: Demand(None, frozenset({PORTAL}), place=0),
        1: Demand(100, frozenset({PORTAL}), place=1),
    }
    assert fair_shares(demands, {PORTAL: LEAST + 100}) == {0: LEAST, 1: 100}
