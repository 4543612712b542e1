"""Shares the bandwidth budgets among the running jobs.

Each process that runs jobs computes the same shares from the same rows, and applies those of its
own jobs. ``allowed_bytes`` of a row is what its rclone may move at this moment: it is written
before rclone gets more, and after rclone has taken less. Whoever takes more takes only what the
rows of all others leave, so that the sum stays within the budget while jobs come and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import BigInteger, Integer, and_, cast, column, or_, select, update, values
from sqlalchemy.orm import Session, aliased

from portal.db.clock import now
from portal.db.session import read_connection, write
from portal.models import OF_PORTAL, BandwidthBudget, Job
from portal.services.jobs.claims import Claim
from portal.transfers import bandwidth
from portal.transfers.bandwidth_shares import Demand, fair_shares, fill
from portal.transfers.states import ACTIVE, JobStatus, Operation


@dataclass(frozen=True, slots=True)
class Usage:
    """A running job. ``granted`` and ``wanted`` are those of its row: None for a job without a
    limit, or whose worker does not know of the budgets yet. ``demand``: what it wants now, as far
    as rows tell. ``speed``: bytes a second. ``ends``: ``OF_PORTAL`` and its remotes."""

    demand: Demand
    ends: frozenset[int] = frozenset()
    granted: int | None = None
    wanted: int | None = None
    speed: int = 0


@dataclass(frozen=True, slots=True)
class Sharing:
    """The running jobs that may move bytes, and the budgets that limit any of them now, in bytes a
    second."""

    jobs: Mapping[Claim, Usage]
    budgets: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class OwnJob:
    """A job of this process. ``wanted``: the most that it can use. ``allowed``: what it was told
    last. ``most``: what its rclone may move now. None: no limit."""

    wanted: int | None
    allowed: int | None
    most: int | None


@dataclass(frozen=True, slots=True)
class Grant:
    """``share``: what is fair; ``allowed``: what the job is to be told; ``granted``: what its row
    has to say."""

    share: int | None
    allowed: int | None
    granted: int | None

    @property
    def is_settled(self) -> bool:
        return self.share == self.allowed == self.granted


class _Reader(Protocol):
    def execute(self, statement: Any, /) -> Any: ...


def read_sharing() -> Sharing:
    """Reads everything by one query."""
    with read_connection() as connection:
        return _read(connection)


def settle(own: Mapping[Claim, OwnJob]) -> dict[Claim, Grant]:
    """Computes the shares of these jobs and writes them. One process at a time does: what it takes
    from a budget no other takes as well."""
    with write() as tx:
        lock = select(BandwidthBudget.id).order_by(BandwidthBudget.id)
        tx.execute(lock.with_for_update(key_share=True))
        sharing = _read(tx)
        grants = plan(sharing, own)
        changed = {
            claim: grant
            for claim, grant in grants.items()
            if is_news(sharing.jobs[claim], own[claim], grant)
        }
        _write(tx, {claim: (grant, own[claim]) for claim, grant in changed.items()})
        tx.commit()
    return grants


def release(claims: list[Claim]) -> None:
    """Writes that no budget limits these jobs any more."""
    with write() as tx:
        free = Grant(None, None, None)
        _write(tx, dict.fromkeys(claims, (free, OwnJob(None, None, None))))
        tx.commit()


def plan(sharing: Sharing, own: Mapping[Claim, OwnJob]) -> dict[Claim, Grant]:
    """Returns what jobs of this process get now; those that are over are left out."""
    demands = {claim: one.demand for claim, one in sharing.jobs.items()}
    for claim in own.keys() & demands.keys():
        demands[claim] = replace(demands[claim], wanted=own[claim].wanted)
    shares = fair_shares(demands, sharing.budgets)
    grants = {claim: _lower(one, shares[claim]) for claim, one in own.items() if claim in demands}
    granted = {claim: one.granted for claim, one in sharing.jobs.items()}
    granted |= {claim: grant.granted for claim, grant in grants.items()}
    free = dict(sharing.budgets)
    for claim, number in granted.items():
        # A job that nobody has told of the budgets will soon have its share.
        taken = (shares[claim] if number is None else number) or 0
        for name in demands[claim].budgets:
            free[name] -= taken
    rises = {
        claim: Demand(share - grant.granted, demands[claim].budgets.intersection(free))
        for claim, grant in grants.items()
        if (share := shares[claim]) is not None
        and grant.granted is not None
        and share > grant.granted
    }
    for claim, rise in fill(rises, free).items():
        # A job that began at a tiny rate would take long to notice that it may go faster.
        if rise and (grants[claim].granted or 2 * rise >= (shares[claim] or 0)):
            grants[claim] = _raise(grants[claim], rise)
    return grants


def is_news(usage: Usage, own: OwnJob, grant: Grant) -> bool:
    """Whether the row of a job says something else."""
    return (grant.granted, own.wanted) != (usage.granted, usage.wanted)


def _lower(own: OwnJob, share: int | None) -> Grant:
    """Less is told at once, and counts when rclone has taken it."""
    if share is None:
        return Grant(None, None, None)
    allowed = share if own.allowed is None else min(own.allowed, share)
    return Grant(share, allowed, None if own.most is None else max(allowed, own.most))


def _raise(grant: Grant, by: int) -> Grant:
    assert grant.granted is not None  # noqa: S101 - narrows the type
    granted = grant.granted + by
    return Grant(grant.share, granted, granted)


def _read(reader: _Reader) -> Sharing:
    portal, source, destination = (aliased(BandwidthBudget) for _ in range(3))
    budget_ids = {
        portal: OF_PORTAL,
        source: Job.source_remote_id,
        destination: Job.destination_remote_id,
    }
    # A check may read every byte, to compare them.
    may_move = or_(Job.dry_run.is_(False), Job.operation == Operation.CHECK)
    columns = (
        *(Job.id, Job.attempt, Job.status, Job.paused_at),
        *(Job.source_remote_id, Job.destination_remote_id),
        *(Job.allowed_bytes, Job.wanted_bytes, Job.speed_bytes),
        *(part for one in budget_ids for part in (one.id, one.rate, one.timezone)),
    )
    query = select(*columns).select_from(Job).where(Job.status.in_(ACTIVE), may_move)
    for one, number in budget_ids.items():
        query = query.outerjoin(one, one.id == number)
    jobs: dict[Claim, Usage] = {}
    budgets: dict[int, int] = {}
    moment = now()
    for job, attempt, status, paused_at, source_id, destination_id, *row in reader.execute(query):
        allowed, wanted, speed, *found = row
        its_budgets = []
        for name, rate, timezone in zip(*[iter(found)] * 3, strict=True):
            most = None if name is None else bandwidth.bytes_at(rate, timezone, moment)
            if most is not None:
                its_budgets.append(name)
                budgets[name] = most
        ends = {OF_PORTAL, source_id, destination_id} - {None}
        stands_still = status != JobStatus.RUNNING or paused_at is not None
        demand = Demand(0 if stands_still else wanted, frozenset(its_budgets), place=job)
        jobs[Claim(job, attempt)] = Usage(demand, frozenset(ends), allowed, wanted, speed)
    return Sharing(jobs, budgets)


def _write(tx: Session, changes: Mapping[Claim, tuple[Grant, OwnJob]]) -> None:
    if not changes:
        return
    kinds = {"job_id": BigInteger, "attempt": Integer, "allowed": BigInteger, "wanted": BigInteger}
    rows = [
        (claim.job_id, claim.attempt, grant.granted, own.wanted)
        for claim, (grant, own) in sorted(changes.items(), key=lambda item: item[0].job_id)
    ]
    table = values(*(column(name, kind) for name, kind in kinds.items()), name="shares")
    new = table.data(rows).cte("shares")
    tx.execute(
        update(Job)
        .where(and_(Job.id == new.c.job_id, Job.attempt == new.c.attempt, Job.status.in_(ACTIVE)))
        # PostgreSQL takes a column that is null in every row for text.
        .values(
            allowed_bytes=cast(new.c.allowed, BigInteger),
            wanted_bytes=cast(new.c.wanted, BigInteger),
        ),
        execution_options={"synchronize_session": False},
    )
