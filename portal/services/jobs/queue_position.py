"""The position of a queued job, and what it waits for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select

from portal.db.session import read_connection, session
from portal.models import Job
from portal.services import workers
from portal.services.jobs import blocking
from portal.services.runtime import runtime
from portal.transfers.states import JobStatus

#: Positions beyond this one are not counted, so that reading the queue stays cheap.
MAX_POSITION = 1000


class Reason(StrEnum):
    """The first reason that applies."""

    PAUSED = "paused"
    NO_WORKER = "no_worker"
    DESTINATION = "destination"
    SLOT = "slot"


@dataclass(frozen=True, slots=True)
class Queued:
    """``position``: 1 for the next job of its pool, None behind more than MAX_POSITION others.
    ``job_id``: the job that it waits for; ``clash``: why; ``held_up``: why that job does not run,
    if a person has to see to it."""

    position: int | None
    reason: Reason
    job_id: int | None = None
    clash: blocking.Clash | None = None
    held_up: Reason | None = None


def of(jobs: Iterable[Job]) -> dict[int, Queued]:
    """Returns those of these jobs that are queued, by id. It takes a few queries for any number of
    jobs."""
    queued = [job for job in jobs if job.status == JobStatus.QUEUED]
    if not queued:
        return {}
    ahead = {pool: _ahead(pool) for pool in {job.pool for job in queued}}
    with read_connection() as connection:
        blockers = blocking.blockers(connection, [job.id for job in queued])
    return {job.id: _queued(job, ahead[job.pool], blockers.get(job.id)) for job in queued}


def _queued(job: Job, ahead: Sequence[int], blocker: blocking.Blocker | None) -> Queued:
    behind = len(ahead) == MAX_POSITION and job.id > ahead[-1]
    position = None if behind else bisect_left(ahead, job.id) + 1
    if held_up := _held_up(job.status, job.pool, paused=job.paused_at is not None):
        return Queued(position, held_up)
    if blocker is None:
        return Queued(position, Reason.SLOT)
    return Queued(
        position,
        Reason.DESTINATION,
        blocker.job_id,
        blocker.clash,
        _held_up(blocker.status, blocker.pool, paused=blocker.paused),
    )


def _held_up(status: str, pool: str | None, *, paused: bool) -> Reason | None:
    if paused:
        return Reason.PAUSED
    queued = status == JobStatus.QUEUED
    if queued and runtime().settings.scale_out and not workers.has_worker(pool):
        return Reason.NO_WORKER
    return None


def _ahead(pool: str | None) -> Sequence[int]:
    """Returns the ids of the first jobs in the queue of a pool."""
    same = Job.pool.is_(None) if pool is None else Job.pool == pool
    query = select(Job.id).where(Job.status == JobStatus.QUEUED, same).order_by(Job.id)
    return session.scalars(query.limit(MAX_POSITION)).all()
