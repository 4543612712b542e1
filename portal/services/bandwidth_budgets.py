"""What admins do with bandwidth budgets: of the whole portal, and of each remote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import session, write
from portal.errors import Invalid
from portal.models import OF_PORTAL, BandwidthBudget, Remote
from portal.services import audit
from portal.services.actor import Actor
from portal.services.jobs.bandwidth_sharing import read_sharing
from portal.transfers import bandwidth
from portal.transfers.bandwidth import InvalidBandwidth

ACTION = "bandwidth.budget"


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """A budget, and what jobs make of it now. ``remote``: None for the portal's. ``most`` and
    ``speed`` in bytes a second; ``most`` is None where nothing is limited now. ``jobs``: how many
    run."""

    remote: Remote | None
    budget: BandwidthBudget | None
    most: int | None
    speed: int
    jobs: int

    @property
    def id(self) -> int:
        return self.remote.id if self.remote else OF_PORTAL


def all_rates() -> dict[int, BandwidthBudget]:
    """Returns every budget by its id."""
    return {one.id: one for one in session.scalars(select(BandwidthBudget))}


def rate_of(budget_id: int) -> str | None:
    """Returns the rate or timetable of a budget, None if there is none."""
    return session.scalar(select(BandwidthBudget.rate).where(BandwidthBudget.id == budget_id))


def uses() -> list[BudgetUse]:
    """Returns what is used of each budget: of the portal's, then by the names of the remotes, also
    of those that have none."""
    budgets, sharing = all_rates(), read_sharing()
    remotes = list(session.scalars(select(Remote).order_by(Remote.name)))
    found = []
    for remote in (None, *remotes):
        number = remote.id if remote else OF_PORTAL
        jobs = [one for one in sharing.jobs.values() if number in one.ends]
        found.append(
            BudgetUse(
                remote,
                budgets.get(number),
                bandwidth_now(budgets.get(number)),
                sum(one.speed for one in jobs),
                len(jobs),
            )
        )
    return found


def bandwidth_now(budget: BandwidthBudget | None) -> int | None:
    return None if budget is None else bandwidth.bytes_at(budget.rate, budget.timezone, now())


def validate(text: str) -> str | None:
    """Returns a rate or a timetable as it is stored; None for no budget. Raises
    InvalidBandwidth."""
    found = bandwidth.parse(text)
    if found is None or (found.constant and str(found) == bandwidth.OFF):
        return None
    return str(found)


def save(texts: Mapping[int, str], timezone: str, *, actor: Actor) -> None:
    """Sets these budgets; an empty text removes one. A timetable goes by the clock of ``timezone``.
    Raises Invalid with each error by the number of its budget, as text; then nothing is saved."""
    rates, errors = {}, {}
    for number, text in texts.items():
        try:
            rates[number] = validate(text)
        except InvalidBandwidth as refused:
            errors[str(number)] = str(refused)
    if errors:
        raise Invalid(errors)
    with write() as tx:
        found = select(Remote).where(Remote.id.in_(rates)).order_by(Remote.id)
        remotes = {one.id: one for one in tx.scalars(found.with_for_update())}
        for number, rate in sorted(rates.items()):
            if number == OF_PORTAL:
                put(tx, None, rate, timezone, actor=actor)
            elif (remote := remotes.get(number)) is not None and put(
                tx, remote, rate, timezone, actor=actor
            ):
                # Whoever has its form open is told.
                remote.version += 1
        tx.commit()


def put(
    tx: Session, remote: Remote | None, rate: str | None, timezone: str, *, actor: Actor
) -> bool:
    """Stores one budget and notes it in the audit log; returns whether it was another one before.
    ``rate`` as of ``validate``."""
    number = remote.id if remote else OF_PORTAL
    budget = tx.get(BandwidthBudget, number, with_for_update=True, populate_existing=True)
    before = budget.rate if budget else None
    if rate == before:
        return False
    if rate is None:
        tx.delete(budget)
    else:
        if budget is None:
            budget = BandwidthBudget(id=number, remote_id=remote.id if remote else None)
            tx.add(budget)
        budget.rate, budget.timezone = rate, timezone if "," in rate else "UTC"
        budget.changed_at, budget.changed_by = now(), actor.name
    target = f"remote {remote.name}" if remote else "portal"
    detail = f"from {before or 'none'} to {rate or 'none'}"
    audit.record(tx, ACTION, actor, target=target, detail=detail)
    return True
