"""The speed of a job over time: written by its worker, read by its page."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from portal.db.session import insert_into, session, write
from portal.models import Job, JobLog, JobSpeed
from portal.services.jobs.speed_curve import Series
from portal.transfers.states import ACTIVE


def save(job_id: int, attempt: int, started_at: datetime, series: Series) -> None:
    """Replaces the stored curve. A worker of an older attempt changes nothing any more."""
    with write() as tx:
        figures = {
            "attempt": attempt,
            "started_at": started_at,
            "step": series.step,
            "points": list(series.points),
            "peak": series.peak,
        }
        tx.execute(
            insert_into(tx, JobSpeed)
            .values(job_id=job_id, **figures)
            .on_conflict_do_update(
                index_elements=[JobSpeed.job_id], set_=figures, where=JobSpeed.attempt <= attempt
            )
        )
        tx.commit()


def of(job: Job) -> JobSpeed | None:
    """Returns the curve of the last attempt that was measured; a new attempt has none at first, and
    then it is None."""
    speed = session.get(JobSpeed, job.id)
    if speed is None or (job.status in ACTIVE and speed.attempt != job.attempt):
        return None
    return speed


def removed_at(job: Job) -> datetime | None:
    """Returns when the curve was removed together with the job's log because it was old."""
    return session.scalar(select(JobLog.removed_at).where(JobLog.job_id == job.id))
