"""Which job waits for which other: no two of them write to the same place at once, and none takes
what another is just writing for all there is.

A job that writes has a row for each name of each place that it writes to or reads. It may be
claimed when no running job and no job ahead of it writes to one of them, to a place inside it or to
one that contains it. A job waits only for older and for running jobs, so jobs never wait in a
circle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

from portal.db.session import read_connection, write
from portal.engine.safety import places
from portal.models import Job, JobPlace
from portal.services.jobs.places import JobPlaces
from portal.transfers.states import ACTIVE, FINAL, JobStatus, Operation

_CLAIMS = 1_702_129_518_733_001_129  # any number that nobody else uses for an advisory lock
_GOES_ON = tuple(operation for operation in Operation if not operation.deletes)


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A job that waits for a worker of its pool."""

    job_id: int
    pool: str | None


# --- stored places -------------------------------------------------------------------------------


def keep(tx: Session, job_id: int, found: JobPlaces) -> None:
    """Replaces the stored places of this job."""
    kept = {**dict.fromkeys(found.written, True), **dict.fromkeys(found.read, False)}
    mine = select(JobPlace.key, JobPlace.writes).where(JobPlace.job_id == job_id)
    if dict(tx.execute(mine).all()) == kept:
        return
    forget(tx, job_id)
    if kept:
        rows = [{"job_id": job_id, "key": key, "writes": kept[key]} for key in sorted(kept)]
        tx.execute(insert(JobPlace), rows)


def forget(tx: Session, job_id: int) -> None:
    tx.execute(delete(JobPlace).where(JobPlace.job_id == job_id))


def forget_ended() -> None:
    """Deletes the places of jobs that a worker of an older release has ended."""
    ended = select(Job.id).where(Job.id.in_(select(JobPlace.job_id)), Job.status.in_(FINAL))
    with read_connection() as connection:
        ids = list(connection.scalars(ended))
    if ids:
        with write() as tx:
            tx.execute(delete(JobPlace).where(JobPlace.job_id.in_(ids)))
            tx.commit()


def used_by(connection: Connection, job_id: int) -> frozenset[str]:
    """Returns the keys of all places that a job writes to or reads."""
    return frozenset(connection.scalars(select(JobPlace.key).where(JobPlace.job_id == job_id)))


def written_by(connection: Connection, job_id: int) -> frozenset[str]:
    query = select(JobPlace.key).where(JobPlace.job_id == job_id, JobPlace.writes)
    return frozenset(connection.scalars(query))


def claim_in_turn(tx: Session) -> None:
    """Lets only one transaction claim at a time, until it ends. If two overlap, the later one sees
    what the earlier one did. SQLite has only one writer anyway."""
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_CLAIMS)))


# --- who waits for whom -------------------------------------------------------------------------


def is_alone(job_id: int, keys: Collection[str]) -> list[ColumnElement[bool]]:
    """Conditions: no other job blocks this one, which writes to these places or reads them."""
    if not keys:
        return []
    older, other = _older(job_id, keys), aliased(Job)
    is_open = or_(
        other.status.in_((JobStatus.QUEUED, *ACTIVE)),
        and_(other.status == JobStatus.INTERRUPTED, other.operation.in_(_GOES_ON)),
    )
    return [
        ~exists(older.join(other, other.id == JobPlace.job_id).where(is_open)),
        ~exists(_running(job_id, keys)),
    ]


def waits(connection: Connection, job_id: int, keys: Collection[str]) -> bool:
    return bool(keys) and not connection.scalar(select(and_(*is_alone(job_id, keys))))


class Blocker(NamedTuple):
    """The job that another one waits for. ``changes_source``: it only changes what the other one
    reads; else both write to one place."""

    job_id: int
    status: str
    pool: str | None
    paused: bool
    changes_source: bool


def blockers(connection: Connection, job_ids: Collection[int]) -> dict[int, Blocker]:
    """Returns the job that each of these waits for: the oldest of those in its way. It takes two
    queries for any number of jobs."""
    used: dict[int, set[str]] = defaultdict(set)
    written: dict[int, set[str]] = defaultdict(set)
    mine = select(JobPlace.job_id, JobPlace.key, JobPlace.writes)
    for job_id, key, writes in connection.execute(mine.where(JobPlace.job_id.in_(job_ids))):
        used[job_id].add(key)
        if writes:
            written[job_id].add(key)
    if not used:
        return {}
    # Only open jobs have places.
    others = connection.execute(
        select(JobPlace.job_id, JobPlace.key, Job.status, Job.pool, Job.paused_at)
        .join(Job, Job.id == JobPlace.job_id)
        .where(JobPlace.writes, _overlapping(set().union(*used.values())))
        .order_by(JobPlace.job_id)
    ).all()
    found: dict[int, Blocker] = {}
    for job_id, keys in used.items():
        in_the_way = [row for row in others if _overlap(row.key, keys)]
        # A younger job may run already if its conflict was discovered too late, or if its place has
        # changed since.
        older = (row for row in in_the_way if row.job_id < job_id)
        running = (row for row in in_the_way if row.job_id > job_id and row.status in ACTIVE)
        if (row := next(older, None) or next(running, None)) is not None:
            found[job_id] = Blocker(
                row.job_id,
                row.status,
                row.pool,
                paused=row.paused_at is not None,
                changes_source=not any(
                    _overlap(one.key, written[job_id])
                    for one in in_the_way
                    if one.job_id == row.job_id
                ),
            )
    return found


def _overlap(key: str, used: Collection[str]) -> bool:
    return any(key in places.holders(one) or one in places.holders(key) for one in used)


def _older(job_id: int, keys: Iterable[str]) -> Select[int]:
    return select(JobPlace.job_id).where(
        JobPlace.job_id < job_id, JobPlace.writes, _overlapping(keys)
    )


def _running(job_id: int, keys: Iterable[str]) -> Select[int]:
    """Younger jobs that run already: their conflict was discovered too late, or their place has
    changed."""
    other = aliased(Job)
    return (
        select(other.id)
        .join(JobPlace, JobPlace.job_id == other.id)
        .where(other.status.in_(ACTIVE), other.id > job_id, JobPlace.writes, _overlapping(keys))
    )


def startable_after(keys: Collection[str]) -> list[PendingJob]:
    """Returns the jobs that may run now that nobody writes to these places any more, oldest
    first."""
    if not keys:
        return []
    with read_connection() as connection:
        waiting = connection.scalars(
            select(JobPlace.job_id)
            .join(Job, Job.id == JobPlace.job_id)
            .where(Job.status == JobStatus.QUEUED, _overlapping(keys))
        )
        touched = set(waiting)
    return [one for one in ready() if one.job_id in touched] if touched else []


def ready() -> list[PendingJob]:
    """Returns all queued jobs that no other job blocks, oldest first."""
    goes_on = and_(Job.status == JobStatus.INTERRUPTED, Job.operation.in_(_GOES_ON))
    columns: list[Any] = [Job.id, Job.pool, Job.status, JobPlace.key, JobPlace.writes]
    query = (
        select(*columns)
        .outerjoin(JobPlace, JobPlace.job_id == Job.id)
        .where(or_(Job.status.in_((JobStatus.QUEUED, *ACTIVE)), goes_on))
    )
    used: dict[int, list[str]] = {}
    written: dict[int, list[str]] = {}
    jobs: dict[int, Row[Any]] = {}
    with read_connection() as connection:
        for row in connection.execute(query):
            jobs[row.id] = row
            used.setdefault(row.id, []).extend([row.key] if row.key else [])
            written.setdefault(row.id, []).extend([row.key] if row.writes else [])
    taken = _TakenPlaces()
    for row in sorted(jobs.values(), key=lambda row: (row.status not in ACTIVE, row.id)):
        if row.status == JobStatus.QUEUED and not taken.overlaps(used[row.id]):
            taken.free.append(PendingJob(row.id, row.pool))
        taken.add(written[row.id])
    return taken.free


class _TakenPlaces:
    """Places of the jobs that run or are ahead."""

    def __init__(self) -> None:
        self.free: list[PendingJob] = []
        self._keys: set[str] = set()
        self._holders: set[str] = set()

    def add(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._keys.add(key)
            self._holders.update(places.holders(key))

    def overlaps(self, keys: Iterable[str]) -> bool:
        return any(
            key in self._holders or not self._keys.isdisjoint(places.holders(key)) for key in keys
        )


def _overlapping(keys: Iterable[str]) -> ColumnElement[bool]:
    """Condition on rows of places: the same place, one that contains it, or one inside it."""
    keys = list(keys)
    holders = {holder for key in keys for holder in places.holders(key)}
    # The character "0" follows "/", so all keys that begin with this one lie between the two.
    below = (and_(JobPlace.key >= key, JobPlace.key < f"{key[:-1]}0") for key in keys)
    return or_(JobPlace.key.in_(holders), *below)
