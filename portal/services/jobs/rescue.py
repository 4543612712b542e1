"""Rescues the jobs that dead workers, a wiped queue or a stopped portal left behind.

Each step is a conditional change of one row, so that any number of processes may do this at once
and a worker that was only slow is never robbed by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Row, Select, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from portal.db.clock import elapsed
from portal.db.session import (
    advisory_lock,
    database_time,
    log_failure,
    session,
    write,
)
from portal.models import Job
from portal.realtime import publish
from portal.runtime.context import current
from portal.services.jobs import blocking
from portal.services.jobs.blocking import PendingJob
from portal.services.jobs.claims import standing_still
from portal.services.jobs.transitions import end_interrupted, job_transaction, transition
from portal.transfers.states import (
    ACTIVE,
    MAX_INTERRUPTIONS,
    JobStatus,
    Operation,
)

log = structlog.get_logger(__name__)

_SWEEP = 7_016_996_766_537_068_645  # any number that nobody else uses for an advisory lock
#: Rows that are updated in one transaction.
_AT_ONCE = 1_000
_STOPPED = "The portal stopped while this transfer was running."
_SILENT = "Its worker stopped responding."
#: Of a job that deletes: no later attempt finds out what its rclone did after the last report.
_FIGURES = "The figures are those of its last report; more may have been done."

Found = Row[Any]


def recover() -> None:
    """Rescues every job whose worker is gone. It is called when the only process starts: no worker
    can be alive then."""
    _for_each(_active(), lambda job: _rescue(job, _STOPPED))
    requeue_interrupted()


def rescue_jobs_of(worker_id: int) -> list[PendingJob]:
    """Rescues the jobs of a dead worker process. Returns the jobs that waited only for these."""
    return blocking.startable_after(
        _for_each(_active(Job.worker_id == worker_id), lambda job: _rescue(job, _SILENT))
    )


def sweep(stalled_after: float, renotify_after: float) -> list[PendingJob]:
    """Rescues the jobs whose worker sent no heartbeat for ``stalled_after`` seconds by the
    database's clock, and queues interrupted jobs again.

    Returns the jobs of which workers have to be notified: the rescued ones, the jobs that waited
    only for them, and those that nobody has claimed for ``renotify_after`` seconds since the last
    notification. The same jobs are returned again until ``note_notified`` is called. Only one
    process sweeps at a time; for the others there is nothing to do.
    """
    with advisory_lock(_SWEEP) as alone:
        if not alone:
            return []
        left: set[str] = set()
        if current()[_Clocks].agree(stalled_after):
            stale = _is_stale(stalled_after)
            left = _for_each(_active(stale), lambda job: _rescue(job, _SILENT, stale))
        left |= requeue_interrupted()
        blocking.forget_ended()
        freed = blocking.startable_after(left)
        known = {one.job_id for one in freed}
        return freed + [
            one for one in _due_for_notification(renotify_after) if one.job_id not in known
        ]


def _is_stale(seconds: float) -> ColumnElement[bool]:
    # A job without a first heartbeat would otherwise never count as stalled.
    last = func.coalesce(Job.heartbeat_at, Job.started_at, Job.queued_at)
    # One far ahead was written before the clock was set back, and never again.
    return or_(last < database_time(ago=seconds), last > database_time(ago=-seconds))


class _Clocks:
    """Notices that the database's clock was set: until living workers have sent another heartbeat,
    the ages of all of them are wrong. Whether it was set just before the first look nobody knows.
    """

    def __init__(self) -> None:
        self._previous: tuple[datetime, float, float] | None = None
        self._wrong_until = 0.0

    def agree(self, stalled_after: float) -> bool:
        """Whether the database's time has gone on as this machine's has."""
        asked = elapsed()
        database = session.scalars(select(database_time())).one()
        session.rollback()
        answered = elapsed()
        if self._previous is None:
            self._wrong_until = answered + stalled_after / 4  # longer than between two heartbeats
        else:
            then, asked_then, answered_then = self._previous
            gone_on = (database - then).total_seconds()
            ahead, behind = gone_on - (answered - asked_then), asked - answered_then - gone_on
            if max(ahead, behind) > stalled_after / 4:
                log.warning("the clock of the database was set", seconds=round(ahead))
                self._wrong_until = answered + stalled_after
        self._previous = database, asked, answered
        return answered >= self._wrong_until


def requeue_interrupted() -> set[str]:
    """Queues copies and checks again, a few times; for a job that deletes files an interruption is
    the end. Returns the places that these jobs use no more."""
    still_open = (Job.status == JobStatus.INTERRUPTED, Job.finished_at.is_(None))
    return _for_each(_rows(*still_open), _requeue)


def queued_ids() -> list[int]:
    """Returns the jobs that wait only for a worker, in the order in which they are to run."""
    blocking.forget_ended()
    return [one.job_id for one in blocking.ready()]


def all_queued() -> list[PendingJob]:
    """Returns all jobs that may begin, oldest first. It is for a queue that has lost its
    messages."""
    return _due_for_notification(0.0)


def unclaimed(seconds: float, is_lost: Callable[[str | None], bool]) -> list[PendingJob]:
    """Returns the jobs that may begin and of which workers were notified so many seconds ago, of
    the pools whose messages ``is_lost`` says are gone."""
    notified = func.coalesce(Job.notified_at, Job.queued_at)
    waits = (Job.status == JobStatus.QUEUED) & (notified <= database_time(ago=seconds))
    pools = session.scalars(select(Job.pool).where(waits).distinct()).all()
    session.rollback()
    lost = {pool for pool in pools if is_lost(pool)}
    return [one for one in _due_for_notification(seconds) if one.pool in lost] if lost else []


def note_notified(job_ids: Sequence[int]) -> None:
    """Notes that a message for each of these jobs is on its way to a worker."""
    for first in range(0, len(job_ids), _AT_ONCE):
        some = job_ids[first : first + _AT_ONCE]
        with write() as tx:
            tx.execute(
                update(Job)
                .where(Job.id.in_(some), Job.status == JobStatus.QUEUED)
                .values(notified_at=database_time()),
                execution_options={"synchronize_session": False},
            )
            tx.commit()


def _due_for_notification(renotify_after: float) -> list[PendingJob]:
    """Returns the jobs that may begin and of which workers were not notified for so many
    seconds."""
    notified = func.coalesce(Job.notified_at, Job.queued_at)
    # Workers have not been notified of a job that was only just rescued.
    never = (Job.notified_at.is_(None)) & (Job.interruptions > 0)
    overdue = (notified <= database_time(ago=renotify_after)) | never
    found = select(Job.id).where(Job.status == JobStatus.QUEUED, overdue)
    due = set(session.scalars(found))
    session.rollback()
    return [one for one in blocking.ready() if one.job_id in due] if due else []


def _for_each(query: Select[*tuple[Any, ...]], step: Callable[[Found], frozenset[str]]) -> set[str]:
    """Takes the step for each row. If a step fails, that is logged, and the others go on. Returns
    the places that these jobs use no more."""
    # Columns, not objects: a row with invalid values must not break the whole list.
    rows: Sequence[Found] = session.execute(query).all()
    session.rollback()
    left: set[str] = set()
    for row in rows:
        try:
            left |= step(row)
        except (SQLAlchemyError, ValueError) as error:
            log_failure(log, "a job could not be rescued", error, job=row.id)
            session.rollback()
    return left


def _active(*condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return _rows(Job.status.in_(ACTIVE), *condition)


def _rows(*condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    columns: list[Any] = [Job.id, Job.status, Job.attempt, Job.operation, Job.interruptions]
    return select(*columns, Job.dry_run).where(*condition).order_by(Job.id)


def _rescue(job: Found, reason: str, *only_if: ColumnElement[bool]) -> frozenset[str]:
    left: dict[str, Any] = {
        "speed_bytes": 0,
        "eta_seconds": None,
        "current_files": [],
        "error_lines": [],
    }
    note = "the portal stopped" if reason == _STOPPED else "the worker stopped responding"
    if job.status == JobStatus.CANCELLING:
        return _move(job, JobStatus.CANCELLED, only_if, note=note, **left)
    lost = job.interruptions + 1
    if Operation(job.operation).deletes and not job.dry_run:
        reason = f"{reason} {_FIGURES}"
    return _move(
        job, JobStatus.INTERRUPTED, only_if, note=note, interruptions=lost, error=reason, **left
    )


def _requeue(job: Found) -> frozenset[str]:
    if Operation(job.operation).deletes:
        return _end(job)
    if job.interruptions > MAX_INTERRUPTIONS:
        reason = f"Interrupted {job.interruptions} times, so the transfer was given up."
        return _move(job, JobStatus.FAILED, note=reason, error=reason)
    nobody: dict[str, Any] = {"worker": None, "worker_id": None, "error": None}
    since = database_time()
    return _move(
        job, JobStatus.QUEUED, queued_at=since, notified_at=None, **nobody, **standing_still()
    )


def _end(job: Found) -> frozenset[str]:
    with job_transaction(job.id) as tx:
        used = blocking.used_by(tx.connection(), job.id).all
        ended = end_interrupted(tx, job.id)
        if ended is None:
            return frozenset()
        tx.commit()
        publish.changed(ended)
    return used


def _move(
    job: Found,
    new: JobStatus,
    only_if: Sequence[ColumnElement[bool]] = (),
    *,
    note: str = "",
    **values: Any,
) -> frozenset[str]:
    """Returns the places that the job uses no more, if its status was changed."""
    old = JobStatus(job.status)
    attempt = job.attempt
    with job_transaction(job.id) as tx:
        used = blocking.used_by(tx.connection(), job.id).all
        moved = transition(
            tx, job.id, old, new, of_attempt=attempt, only_if=only_if, note=note, **values
        )
        if moved is None:
            return frozenset()
        tx.commit()
        publish.status_changed(moved, old)
    return used
