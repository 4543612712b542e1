"""The one place where a job's status changes.

Each change is a conditional UPDATE that raises ``seq``, with its counters and its event in the
same transaction; it is published after the commit, in the order of ``seq``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    bindparam,
    case,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from portal.db.clock import now
from portal.db.session import UtcDateTime, add_to_rows, write
from portal.models import ActivityMinute, Job, JobCount, JobEvent
from portal.realtime import publish
from portal.services.jobs import blocking, totals
from portal.transfers.states import JobStatus, Operation, goes_on, may_follow

#: Columns of ActivityMinute.
_ENDINGS = {
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}

#: What deletes is not begun again by itself, so an interruption is its end.
_DELETING = [one for one in Operation if one.deletes]

_LONGEST_SHARED = timedelta(days=1)

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_OF_ATTEMPT = Job.attempt == bindparam("this_attempt")
_EVENTS: Any = JobEvent.__table__
_ADD_EVENT = insert(_EVENTS)
_BYTES_COUNTED = (
    select(Job.id, Job.bytes_transferred)
    .where(Job.id.in_(bindparam("jobs", expanding=True)))
    .order_by(Job.id)
    .with_for_update(of=Job, key_share=True)
)


@contextmanager
def job_transaction(*job_ids: int) -> Iterator[Session]:
    """Opens a write transaction about these jobs. Events that are published inside leave in the
    order of ``seq``: without the lock, a slower thread could announce an older state after a newer
    one."""
    with publish.in_order(*job_ids), write() as tx:
        yield tx


def lock_job(session: Session, job_id: int) -> Job:
    """Returns the row as it is now, and locks it until the transaction ends. PostgreSQL does not
    lock the whole database for a writer, and if somebody clicks twice the second click must see
    what the first one did."""
    only_this: Any = {"of": Job, "key_share": True}
    return session.get_one(Job, job_id, populate_existing=True, with_for_update=only_this)


def transition(
    session: Session,
    job_id: int,
    old: JobStatus,
    new: JobStatus,
    *,
    of_attempt: int | None = None,
    only_if: Sequence[ColumnElement[bool]] = (),
    given: Mapping[str, Any] = _NOTHING,
    actor: str = "",
    note: str = "",
    moved_since: datetime | None = None,
    **values: Any,
) -> Job | None:
    """Returns the job after the change. Returns None if it no longer had the status (or the
    attempt). ``given``: see ``update_job``.

    The bytes that its row gains are added to the totals, see ``split_by_minute``; the row never
    loses any.
    """
    assert may_follow(old, new), f"{old} to {new}"  # noqa: S101 - a fault of ours, not of input
    moment = now()
    values = {"trouble": None, "next_try_at": None, "storage_silent_since": None} | values
    over_since = None
    if new in _ENDINGS:
        over_since = _over_since(session, job_id, old)
        values = _at_the_end(over_since or moment) | values
    elif new is JobStatus.INTERRUPTED:
        values = _at_an_interruption(moment) | values
    moved = 0
    if "bytes_transferred" in values:
        before = bytes_counted(session, job_id).get(job_id, 0)
        values["bytes_transferred"] = max(before, values["bytes_transferred"])
        moved = values["bytes_transferred"] - before
    job = update_job(session, job_id, old, of_attempt, only_if, given, status=new, **values)
    if job is None:
        return None
    over = not goes_on(job.status, job.operation)
    if over:
        blocking.forget(session, job_id)
    # Everybody locks in the same order (job, event, minute, counters by name, totals): two
    # transactions that lock the same rows in different orders would wait for each other for ever.
    add_event(session, job, old, actor=actor, note=note)
    ended = {_ENDINGS[new]: 1} if new in _ENDINGS else {}
    *earlier, (_, last) = split_by_minute(moved, moved_since, moment)
    for minute, share in earlier:
        add_activity(session, minute, bytes_moved=share)
    add_activity(session, moment, bytes_moved=last, **ended)
    count(session, {old: -1, new: +1})
    if over_since is not None:
        totals.subtract(session, job, old)
    if over:
        totals.add(session, job)
    return job


def _over_since(session: Session, job_id: int, status: JobStatus) -> datetime | None:
    """Returns since when a job with this status, which now gets another ending, counts as ended;
    None if it does not."""
    if status is not JobStatus.INTERRUPTED:
        return None
    return lock_job(session, job_id).finished_at


def _at_the_end(moment: datetime) -> dict[str, Any]:
    return {"finished_at": moment, "eta_seconds": None, "current_files": [], "paused_at": None}


def _at_an_interruption(moment: datetime) -> dict[str, Any]:
    deletes = Job.operation.in_(_DELETING)
    return {
        "finished_at": case((deletes, literal(moment, UtcDateTime())), else_=null()),
        "paused_at": case((deletes, null()), else_=Job.paused_at),
    }


def end_interrupted(session: Session, job_id: int) -> Job | None:
    """Counts an interrupted job as ended if it does not yet; a process of an older release leaves
    it so. Returns the job, or None if there was nothing to do."""
    only_open = (Job.finished_at.is_(None), Job.operation.in_(_DELETING))
    job = update_job(
        session, job_id, JobStatus.INTERRUPTED, only_if=only_open, **_at_an_interruption(now())
    )
    if job is not None:
        blocking.forget(session, job_id)
        totals.add(session, job)
    return job


def bytes_counted(session: Session, *job_ids: int) -> dict[int, int]:
    """Returns the bytes of these jobs that the totals have counted. The rows are locked until the
    transaction ends."""
    return dict(session.execute(_BYTES_COUNTED, {"jobs": job_ids}).all())


def update_job(
    session: Session,
    job_id: int,
    old: JobStatus,
    of_attempt: int | None = None,
    only_if: Sequence[ColumnElement[bool]] = (),
    given: Mapping[str, Any] = _NOTHING,
    **values: Any,
) -> Job | None:
    """Updates one job if the conditions hold, and raises its ``seq``. Returns the row after it, or
    None. ``given``: the parameters of the conditions. Conditions and expressions that are the same
    objects as before make no new statement."""
    parameters: dict[str, Any] = {"this_job": job_id, "from_status": old, **given}
    if of_attempt is not None:
        only_if = (*only_if, _OF_ATTEMPT)
        parameters["this_attempt"] = of_attempt
    expressions: dict[str, Any] = {}
    for name, value in values.items():
        # A parameter that has the name of a column sets that column.
        (expressions if isinstance(value, ColumnElement) else parameters)[name] = value
    return session.scalar(
        _update(tuple(only_if), tuple(expressions.items())),
        parameters,
        execution_options={"synchronize_session": False, "populate_existing": True},
    )


@lru_cache(200)
def _update(
    only_if: tuple[ColumnElement[bool], ...],
    expressions: tuple[tuple[str, ColumnElement[Any]], ...],
) -> ReturningUpdate[Job]:
    which = Job.id == bindparam("this_job"), Job.status == bindparam("from_status")
    changes = dict(expressions) | {"seq": Job.seq + 1}
    return update(Job).where(*which, *only_if).values(changes).returning(Job)


def count(session: Session, changes: Mapping[JobStatus, int]) -> None:
    """Adds to the numbers of jobs with these statuses."""
    rows = [{"status": status, "jobs": by} for status, by in sorted(changes.items())]
    add_to_rows(session, JobCount, rows)


def add_event(
    session: Session, job: Job, old: JobStatus | None, *, actor: str = "", note: str = ""
) -> None:
    session.execute(
        _ADD_EVENT,
        {
            "job_id": job.id,
            "seq": job.seq,
            "old_status": old,
            "new_status": job.status,
            "actor": actor,
            "note": note,
        },
    )


def add_activity(session: Session, moment: datetime, **figures: int) -> None:
    """Adds to the totals of this minute (columns of ActivityMinute)."""
    if any(figures.values()):
        minute = moment.replace(second=0, microsecond=0)
        add_to_rows(session, ActivityMinute, [{"minute": minute, **figures}])


def split_by_minute(
    moved: int, since: datetime | None, until: datetime
) -> list[tuple[datetime, int]]:
    """Divides the bytes that were moved between the two moments by minute, oldest first. The last
    minute is always in the list. So an outage of the database does not show as one spike in the
    minute after it."""
    since = max(since or until, until - _LONGEST_SHARED)
    if until - since < timedelta(minutes=1):
        return [(until, moved)]
    found, shared, minute = [], 0, since.replace(second=0, microsecond=0)
    while (following := minute + timedelta(minutes=1)) < until:
        so_far = int(moved * ((following - since) / (until - since)))
        found.append((minute, so_far - shared))
        shared, minute = so_far, following
    return [*found, (until, moved - shared)]
