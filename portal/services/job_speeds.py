"""The speed of a job over time: written by its worker, read by its page."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite

from portal.database import begin_write, session
from portal.models import JobSpeed
from portal.series import Series


def save(job_id: int, attempt: int, started_at: datetime, series: Series) -> None:
    """Replaces what was saved; a worker of an older attempt changes nothing any more."""
    writing = begin_write()
    insert = sqlite.insert if writing.get_bind().dialect.name == "sqlite" else postgresql.insert
    figures = {
        "attempt": attempt,
        "started_at": started_at,
        "step": series.step,
        "points": list(series.points),
        "peak": series.peak,
    }
    writing.execute(
        insert(JobSpeed)
        .values(job_id=job_id, **figures)
        .on_conflict_do_update(
            index_elements=[JobSpeed.job_id], set_=figures, where=JobSpeed.attempt <= attempt
        )
    )
    writing.commit()


def of(job_id: int) -> JobSpeed | None:
    return session.get(JobSpeed, job_id)
