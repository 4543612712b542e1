"""Rescues the jobs that dead workers, a wiped queue or a stopped portal left behind.

Each step is a conditional change of one row, so that any number of processes may do this at once
and a worker that was only slow is never robbed by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Row, Select, and_, func, literal, or_, select
from sqlalchemy.exc import SQLAlchemyError

from portal.db.clock import elapsed
from portal.db.session import (
    UtcDateTime,
    advisory_lock,
    database_time,
    log_failure,
    session,
)
from portal.models import Job
from portal.realtime import publish
from portal.runtime.context import current
from portal.services.jobs import blocking
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
    blocking.forget_ended()


def rescue_jobs_of(worker_id: int) -> None:
    """Rescues the jobs of a dead worker process."""
    _for_each(_active(Job.worker_id == worker_id), lambda job: _rescue(job, _SILENT))
    requeue_interrupted()


def sweep(stalled_after: float) -> bool:
    """Rescues the jobs whose worker sent no heartbeat for ``stalled_after`` seconds by the
    database's clock, and queues interrupted jobs again. Returns whether there was anything to
    rescue, so that workers have to look at the queue. Only one process sweeps at a time; for the
    others there is nothing to do."""
    with advisory_lock(_SWEEP) as alone:
        if not alone:
            return False
        rescued = False
        if moment := current()[_Clocks].agree(stalled_after):
            stale = _is_stale(stalled_after, moment)
            rescued = _for_each(_active(stale), lambda job: _rescue(job, _SILENT, stale))
        rescued |= requeue_interrupted()
        blocking.forget_ended()
        return rescued


def _is_stale(seconds: float, moment: datetime) -> ColumnElement[bool]:
    """``moment``: a time of the database's clock at which it was right."""
    # A job without a first heartbeat would otherwise never count as stalled.
    last = func.coalesce(Job.heartbeat_at, Job.started_at, Job.queued_at)
    # One far ahead was written before the clock was set back, and never again.
    now = or_(last < database_time(ago=seconds), last > database_time(ago=-seconds))
    # The clock may have been set since that moment, and this process frozen meanwhile. Then only
    # one of the two is true of the job of a living worker.
    away = timedelta(seconds=seconds)
    early, late = (literal(moment + by, UtcDateTime()) for by in (-away, away))
    return and_(now, or_(last < early, last > late))


class _Clocks:
    """Notices that the database's clock was set: until living workers have sent another heartbeat,
    the ages of all of them are wrong. Whether it was set just before the first look nobody knows.
    """

    def __init__(self) -> None:
        self._previous: tuple[datetime, float, float] | None = None
        self._wrong_until = 0.0

    def agree(self, stalled_after: float) -> datetime | None:
        """Returns the database's time; None unless it has gone on as this machine's has."""
        asked = elapsed()
        database = session.scalars(select(database_time())).one()
        session.rollback()
        if ahead := self.note(asked, database, elapsed(), stalled_after):
            log.warning("the clock of the database was set", seconds=round(ahead))
        return database if self.are_right(elapsed()) else None

    def note(
        self, asked: float, database: datetime, answered: float, stalled_after: float
    ) -> float:
        """Compares the database's time, asked for and answered at these moments, with that of the
        look before. Returns by how many seconds the clock was set; 0 if it was not."""
        previous, self._previous = self._previous, (database, asked, answered)
        if previous is None:
            # As after a change: the rclone of a frozen worker lives until its watchdog ends it.
            self._wrong_until = answered + stalled_after
            return 0.0
        then, asked_then, answered_then = previous
        gone_on = (database - then).total_seconds()
        ahead, behind = gone_on - (answered - asked_then), asked - answered_then - gone_on
        if max(ahead, behind) <= stalled_after / 4:
            return 0.0
        self._wrong_until = answered + stalled_after
        return ahead

    def are_right(self, moment: float) -> bool:
        return moment >= self._wrong_until


def requeue_interrupted() -> bool:
    """Queues copies and checks again, a few times; for a job that deletes files an interruption is
    the end. Returns whether there were any."""
    still_open = (Job.status == JobStatus.INTERRUPTED, Job.finished_at.is_(None))
    return _for_each(_rows(*still_open), _requeue)


def _for_each(query: Select[*tuple[Any, ...]], step: Callable[[Found], bool]) -> bool:
    """Takes the step for each row. If a step fails, that is logged, and the others go on. Returns
    whether one of them has changed its job."""
    # Columns, not objects: a row with invalid values must not break the whole list.
    rows: Sequence[Found] = session.execute(query).all()
    session.rollback()
    changed = False
    for row in rows:
        try:
            changed |= step(row)
        except (SQLAlchemyError, ValueError) as error:
            log_failure(log, "a job could not be rescued", error, job=row.id)
            session.rollback()
    return changed


def _active(*condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return _rows(Job.status.in_(ACTIVE), *condition)


def _rows(*condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    columns: list[Any] = [Job.id, Job.status, Job.attempt, Job.operation, Job.interruptions]
    return select(*columns, Job.dry_run).where(*condition).order_by(Job.id)


def _rescue(job: Found, reason: str, *only_if: ColumnElement[bool]) -> bool:
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


def _requeue(job: Found) -> bool:
    if Operation(job.operation).deletes:
        return _end(job)
    if job.interruptions > MAX_INTERRUPTIONS:
        reason = f"Interrupted {job.interruptions} times, so the transfer was given up."
        return _move(job, JobStatus.FAILED, note=reason, error=reason)
    nobody: dict[str, Any] = {"worker": None, "worker_id": None, "error": None}
    return _move(job, JobStatus.QUEUED, queued_at=database_time(), **nobody, **standing_still())


def _end(job: Found) -> bool:
    with job_transaction(job.id) as tx:
        ended = end_interrupted(tx, job.id)
        if ended is None:
            return False
        tx.commit()
        publish.changed(ended)
    return True


def _move(
    job: Found,
    new: JobStatus,
    only_if: Sequence[ColumnElement[bool]] = (),
    *,
    note: str = "",
    **values: Any,
) -> bool:
    old = JobStatus(job.status)
    attempt = job.attempt
    with job_transaction(job.id) as tx:
        moved = transition(
            tx, job.id, old, new, of_attempt=attempt, only_if=only_if, note=note, **values
        )
        if moved is None:
            return False
        tx.commit()
        publish.status_changed(moved, old)
    return True
