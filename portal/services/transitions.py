"""The one place where a job's status changes.

Each change is a conditional UPDATE that raises ``seq``, with its counters and its event in the
same transaction; it is published after the commit, in the order of ``seq``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from portal import live
from portal.clock import now
from portal.database import begin_write
from portal.models import ActivityMinute, Job, JobCount, JobEvent
from portal.states import JobStatus, may_follow

_ENDINGS = {
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


@contextmanager
def changing(job_id: int) -> Iterator[Session]:
    """A write transaction about one job. What is published inside leaves in the order of ``seq``:
    without the lock a slower thread could announce an older state after a newer one."""
    with live.in_order(job_id):
        session = begin_write()
        try:
            yield session
        finally:
            session.rollback()


def change(
    session: Session,
    job_id: int,
    old: JobStatus,
    new: JobStatus,
    *,
    of_attempt: int | None = None,
    actor: str = "",
    note: str = "",
    **values: Any,
) -> Job | None:
    """The job after the change, or None: it no longer had the status (or the attempt)."""
    assert may_follow(old, new), f"{old} to {new}"  # noqa: S101 - a fault of ours, not of input
    moment = now()
    if new in _ENDINGS:
        values = {"finished_at": moment, "eta_seconds": None, "current_files": [], **values}
    job = touch_row(session, job_id, old, of_attempt, status=new, **values)
    if job is None:
        return None
    count(session, old, -1)
    count(session, new, +1)
    if new in _ENDINGS:
        add_activity(session, moment, **{_ENDINGS[new]: 1})
    add_event(session, job, old, actor=actor, note=note)
    return job


def touch_row(
    session: Session, job_id: int, only_if: JobStatus, of_attempt: int | None, **values: Any
) -> Job | None:
    """A conditional UPDATE of one job that raises ``seq``; the row after it, or None."""
    condition = [Job.id == job_id, Job.status == only_if]
    if of_attempt is not None:
        condition.append(Job.attempt == of_attempt)
    return session.scalar(
        update(Job).where(*condition).values(seq=Job.seq + 1, **values).returning(Job),
        execution_options={"synchronize_session": False, "populate_existing": True},
    )


def count(session: Session, status: JobStatus, by: int) -> None:
    session.execute(
        update(JobCount).where(JobCount.status == status).values(jobs=JobCount.jobs + by),
        execution_options={"synchronize_session": False},
    )


def add_event(
    session: Session, job: Job, old: JobStatus | None, *, actor: str = "", note: str = ""
) -> None:
    session.add(
        JobEvent(
            job_id=job.id,
            seq=job.seq,
            old_status=old,
            new_status=job.status,
            actor=actor,
            note=note,
        )
    )


def add_activity(session: Session, moment: datetime, **figures: int) -> None:
    """Adds to the totals of this minute (columns of ActivityMinute)."""
    figures = {name: by for name, by in figures.items() if by}
    if not figures:
        return
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = dict.fromkeys(("bytes_moved", "completed", "failed", "cancelled"), 0) | figures
    statement = insert(ActivityMinute).values(minute=moment.replace(second=0, microsecond=0), **row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[ActivityMinute.minute],
            set_={name: getattr(ActivityMinute, name) + by for name, by in figures.items()},
        )
    )
