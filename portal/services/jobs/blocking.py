"""Which job waits for which other: no two of them write to the same place at once, none takes
what another is just writing for all there is, and none deletes or writes over what another has
still to read.

A job is ahead of another one if its priority is higher, or the same and it is older. A retry is as
old as the job that was tried first: who waited for that one has not seen it done.

A job that writes has a row for each name of each place that it writes to or reads. It may be
claimed when no running job and no open job ahead of it writes to one of them, to a place inside it
or to one that contains it; and when none reads there, unless it only fills a folder that was empty.
A job waits only for jobs ahead of it and for running ones, so jobs never wait in a circle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import Session, aliased

from portal.db.session import read_connection, write
from portal.engine.safety import places
from portal.models import Job, JobPlace
from portal.services.jobs.places import JobPlaces, UsedPlaces
from portal.transfers.states import ACTIVE, FINAL, JobStatus, Operation

_CLAIMS = 1_702_129_518_733_001_129  # any number that nobody else uses for an advisory lock
_OPEN = (JobStatus.QUEUED, *ACTIVE)
_GOES_ON = tuple(operation for operation in Operation if not operation.deletes)

# The statements are made once: SQLAlchemy takes longer to put one together than to execute it.
_TURN = select(func.pg_advisory_xact_lock(_CLAIMS))
_STORED: Any = JobPlace.__table__
_OF_JOB = _STORED.c.job_id == bindparam("this_job")
_PLACES = select(_STORED.c.key, _STORED.c.writes, _STORED.c.replaces).where(_OF_JOB)
_FORGET = delete(_STORED).where(_OF_JOB)
_KEEP = insert(_STORED)


# --- stored places -------------------------------------------------------------------------------


def keep(tx: Session, job_id: int, found: JobPlaces) -> None:
    """Replaces the stored places of this job."""
    used = found.used
    if used_by(tx, job_id) == used:
        return
    forget(tx, job_id)
    if used.all:
        rows = [
            {
                "job_id": job_id,
                "key": key,
                "writes": key in used.written,
                "replaces": key in used.replaced,
            }
            for key in sorted(used.all)
        ]
        tx.execute(_KEEP, rows)


def forget(tx: Session, job_id: int) -> None:
    tx.execute(_FORGET, {"this_job": job_id})


def forget_ended() -> None:
    """Deletes the places of jobs that a worker of an older release has ended."""
    ended = select(Job.id).where(Job.id.in_(select(JobPlace.job_id)), Job.status.in_(FINAL))
    with read_connection() as connection:
        ids = list(connection.scalars(ended))
    if ids:
        with write() as tx:
            tx.execute(delete(JobPlace).where(JobPlace.job_id.in_(ids)))
            tx.commit()


def used_by(connection: Connection | Session, job_id: int) -> UsedPlaces:
    """Returns the stored places of a job."""
    return _used(connection.execute(_PLACES, {"this_job": job_id}))


def used_by_each(connection: Connection, job_ids: Collection[int]) -> dict[int, UsedPlaces]:
    """Returns the stored places of those of these jobs that have any."""
    found: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(_PLACES_OF_JOBS, {"jobs": job_ids}):
        found[row.id].append(row)
    return {job_id: _used(rows) for job_id, rows in found.items()}


def _used(rows: Iterable[Any]) -> UsedPlaces:
    """Each row: a key, whether the job writes there, and whether it replaces what is there."""
    rows = list(rows)
    return UsedPlaces(
        written=frozenset(row.key for row in rows if row.writes),
        read=frozenset(row.key for row in rows if not row.writes),
        replaces=any(row.replaces for row in rows if row.writes),
    )


def claim_in_turn(tx: Session) -> None:
    """Lets only one transaction claim at a time, until it ends. If two overlap, the later one sees
    what the earlier one did. SQLite has only one writer anyway."""
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(_TURN)


# --- who waits for whom -------------------------------------------------------------------------


class Condition(NamedTuple):
    """``parameters``: those of the conditions, by name."""

    conditions: tuple[ColumnElement[bool], ...]
    parameters: dict[str, Any]


def is_alone(job_id: int, used: UsedPlaces) -> Condition:
    """No other job blocks this one, which uses these places."""
    if not used.all:
        return Condition((), {})
    parameters = {
        "place_of": job_id,
        **_keys("used", used.all),
        **_keys("replaced", used.replaced),
    }
    return Condition((_is_alone(len(used.all), len(used.replaced)),), parameters)


@lru_cache(100)
def _is_alone(number_used: int, number_replaced: int) -> ColumnElement[bool]:
    mine, other = aliased(Job), aliased(Job)
    # One that is behind may run already: their conflict was discovered too late, their place has
    # changed, or this one has a higher priority by now.
    comes_first = or_(and_(_is_open(other), _rank(other) < _rank(mine)), other.status.in_(ACTIVE))
    in_the_way = (
        select(JobPlace.job_id)
        .join(other, other.id == JobPlace.job_id)
        .join(mine, mine.id == bindparam("place_of"))
        .where(other.id != mine.id, _in_the_way(number_used, number_replaced), comes_first)
    )
    return ~exists(in_the_way)


def waits(connection: Connection, job_id: int, used: UsedPlaces) -> bool:
    (alone, parameters) = is_alone(job_id, used)
    return bool(alone) and not connection.scalar(select(*alone), parameters)


class Clash(StrEnum):
    """Why one job waits for another."""

    BOTH_WRITE = "both_write"
    #: The other one changes what this one reads.
    CHANGES_SOURCE = "changes_source"
    #: The other one reads what this one deletes or writes over.
    STILL_READS = "still_reads"


class Blocker(NamedTuple):
    """The job that another one waits for."""

    job_id: int
    status: str
    pool: str | None
    paused: bool
    clash: Clash


def blockers(connection: Connection, job_ids: Collection[int]) -> dict[int, Blocker]:
    """Returns the job that each of these waits for: the first of those in its way. It takes two
    queries for any number of jobs."""
    mine: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(_PLACES_OF_JOBS, {"jobs": job_ids}):
        mine[row.id].append(row)
    if not mine:
        return {}
    keys = {row.key for own in mine.values() for row in own}
    rows = connection.execute(_places_there(len(keys)), _keys("used", keys))
    # An older release leaves the places of jobs that it has ended.
    others = sorted((row for row in rows if _goes_on(row)), key=_rank_of)
    found: dict[int, Blocker] = {}
    for job_id, own in mine.items():
        used = _used(own)
        in_the_way = [row for row in others if row.id != job_id and _is_in_the_way(row, used)]
        # See ``is_alone``.
        ahead = [row for row in in_the_way if _rank_of(row) < _rank_of(own[0])]
        running = [row for row in in_the_way if row.status in ACTIVE]
        for row in (ahead or running)[:1]:
            clash = _clash(used, [one for one in in_the_way if one.id == row.id])
            found[job_id] = Blocker(row.id, row.status, row.pool, row.paused_at is not None, clash)
    return found


_RANK: list[Any] = [Job.priority, func.coalesce(Job.first_try_id, Job.id).label("first_try")]
_JOIN = Job.id == JobPlace.job_id
_PLACES_OF_JOBS = (
    select(JobPlace.key, JobPlace.writes, JobPlace.replaces, Job.id, *_RANK)
    .join(Job, _JOIN)
    .where(JobPlace.job_id.in_(bindparam("jobs", expanding=True)))
)


@lru_cache(100)
def _places_there(number: int) -> Select[Any]:
    """Selects all places that overlap with so many others."""
    about = Job.status, Job.operation, Job.pool, Job.paused_at
    columns = JobPlace.key, JobPlace.writes, Job.id, *_RANK, *about
    return select(*columns).join(Job, _JOIN).where(_overlapping("used", number))


def _rank_of(row: Any) -> tuple[int, int, int]:
    return -row.priority, row.first_try, row.id


def _is_in_the_way(other: Any, used: UsedPlaces) -> bool:
    return _overlap(other.key, used.all if other.writes else used.replaced)


def _clash(used: UsedPlaces, others: Iterable[Any]) -> Clash:
    """``others``: places of one other job."""
    written = [row.key for row in others if row.writes]
    if any(_overlap(key, used.written) for key in written):
        return Clash.BOTH_WRITE
    return Clash.CHANGES_SOURCE if written else Clash.STILL_READS


def _overlap(key: str, used: Collection[str]) -> bool:
    return any(places.overlap(key, one) for one in used)


def _is_open(job: type[Job]) -> ColumnElement[bool]:
    goes_on = and_(job.status == JobStatus.INTERRUPTED, job.operation.in_(_GOES_ON))
    return or_(job.status.in_(_OPEN), goes_on)


def _goes_on(row: Any) -> bool:
    """As ``_is_open``. In a query about many places it would lead the database through all jobs."""
    return row.status in _OPEN or (
        row.status == JobStatus.INTERRUPTED and row.operation in _GOES_ON
    )


def _rank(job: type[Job]) -> ColumnElement[Any]:
    """Smaller for a job that is ahead."""
    return tuple_(-job.priority, func.coalesce(job.first_try_id, job.id), job.id)


def _in_the_way(number_used: int, number_replaced: int) -> ColumnElement[bool]:
    """Condition on rows of places: a job that uses so many must not run beside that one."""
    written = and_(JobPlace.writes, _overlapping("used", number_used))
    if not number_replaced:
        return written
    return or_(written, _overlapping("replaced", number_replaced))


def _overlapping(name: str, number: int) -> ColumnElement[bool]:
    """Condition on rows of places: one of so many places, one that contains it, or one inside it.
    Its parameters are those of ``_keys``."""
    below = (
        and_(
            JobPlace.key >= bindparam(f"{name}_{one}"),
            JobPlace.key < bindparam(f"{name}_{one}_end"),
        )
        for one in range(number)
    )
    return or_(JobPlace.key.in_(bindparam(f"{name}_holders", expanding=True)), *below)


def _keys(name: str, keys: Collection[str]) -> dict[str, Any]:
    """Returns the parameters of ``_overlapping``."""
    if not keys:
        return {}
    found: dict[str, Any] = {
        f"{name}_holders": sorted({holder for key in keys for holder in places.holders(key)})
    }
    for one, key in enumerate(sorted(keys)):
        # The character "0" follows "/", so all keys that begin with this one lie between the two.
        found |= {f"{name}_{one}": key, f"{name}_{one}_end": f"{key[:-1]}0"}
    return found
