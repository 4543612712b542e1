"""Where a queued job stands among those that wait."""

from __future__ import annotations

from bisect import bisect_left

from flask import g
from sqlalchemy import select

from portal.database import session
from portal.models import Job
from portal.states import JobStatus

#: Places beyond this one are not told apart: the look into the queue stays short.
MOST = 1000


def place(job: Job) -> int | None:
    """1 for the next one of its pool; None of a job that is not queued, or that stands behind more
    than MOST others."""
    if job.status != JobStatus.QUEUED:
        return None
    before = _queue(job.pool)
    return None if len(before) == MOST and job.id > before[-1] else bisect_left(before, job.id) + 1


def _queue(pool: str | None) -> list[int]:
    """Ids of the first in the queue of a pool, read once for a page however many rows it has."""
    queues: dict[str | None, list[int]] = g.setdefault("queues", {})
    if pool not in queues:
        same = Job.pool.is_(None) if pool is None else Job.pool == pool
        query = select(Job.id).where(Job.status == JobStatus.QUEUED, same).order_by(Job.id)
        queues[pool] = list(session.scalars(query.limit(MOST)))
    return queues[pool]
