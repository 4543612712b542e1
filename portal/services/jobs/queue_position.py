"""Where a queued job stands among those that wait, and what it waits for."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum

from flask import current_app, g
from sqlalchemy import select

from portal.db.session import glance, session
from portal.models import Job
from portal.services import workers
from portal.services.jobs import places
from portal.transfers.states import JobStatus

#: Places beyond this one are not told apart: the look into the queue stays short.
MOST = 1000


class Reason(StrEnum):
    """The first that holds."""

    PAUSED = "paused"
    NO_WORKER = "no_worker"
    DESTINATION = "destination"
    SLOT = "slot"


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """``job_id``: the one that writes to the same place; ``paused``: whether it stands still."""

    reason: Reason
    job_id: int | None = None
    paused: bool = False


def waits_for(job: Job) -> WaitsFor | None:
    """None of a job that is not queued."""
    if job.status != JobStatus.QUEUED:
        return None
    if job.paused_at is not None:
        return WaitsFor(Reason.PAUSED)
    if current_app.extensions["settings"].scale_out and not workers.has_worker(job.pool):
        return WaitsFor(Reason.NO_WORKER)
    with glance() as connection:
        found = places.blocker(connection, job.id)
        if found is None:
            return WaitsFor(Reason.SLOT)
        paused_at = connection.scalar(select(Job.paused_at).where(Job.id == found))
    return WaitsFor(Reason.DESTINATION, found, paused_at is not None)


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
