"""The position of a queued job, and why it waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, func, select

from portal.db.clock import elapsed
from portal.db.session import read_connection
from portal.models import AuditEntry, Job, JobEvent, Remote, Role
from portal.runtime.context import current
from portal.services import workers
from portal.services.jobs import blocking, limits, scheduler
from portal.services.runtime import runtime
from portal.transfers.scheduling import Load, Obstacle, QueuedJob, Reason
from portal.transfers.states import JobStatus

#: Positions beyond this one are not counted, so that reading the queue stays cheap.
MAX_POSITION = 200
#: Seconds for which positions are kept at most.
_LONGEST = 2.0


@dataclass(frozen=True, slots=True)
class Queued:
    """``position``: 1 for the next job of its pool; None for a paused job, or behind more than
    MAX_POSITION others. ``job_id``: the job that it waits for; ``clash``: why; ``held_up``: why
    that job does not run, if a person has to see to it. ``remote``: name of the storage whose
    limit is reached; ``limit``: how many may run at once, 0 for an owner who may no longer run
    jobs."""

    position: int | None
    reason: Reason
    job_id: int | None = None
    clash: blocking.Clash | None = None
    held_up: Reason | None = None
    remote: str = ""
    limit: int = 0


def of(jobs: Iterable[Job]) -> dict[int, Queued]:
    """Returns those of these jobs that wait, by id: the queued ones, and those that were resumed
    and have no slot yet. It takes a few queries for any number of jobs."""
    waiting = [job for job in jobs if job.status == JobStatus.QUEUED or _waits_for_slot(job)]
    if not waiting:
        return {}
    queued = [job for job in waiting if job.status == JobStatus.QUEUED]
    with read_connection() as connection:
        blockers = blocking.blockers(connection, [job.id for job in queued])
        load = limits.read_load(connection)
        positions = {pool: _positions(connection, pool) for pool in {job.pool for job in queued}}
        names = _names(connection, load)
    found = {}
    for job in waiting:
        blocker = blockers.get(job.id)
        place = positions.get(job.pool, {}).get(job.id)
        found[job.id] = _why(job, blocker, load, names, place)
    return found


def _waits_for_slot(job: Job) -> bool:
    resumed = job.slot_released_at is not None and job.paused_at is None
    return job.status == JobStatus.RUNNING and resumed


def _why(
    job: Job,
    blocker: blocking.Blocker | None,
    load: Load,
    names: dict[int, str],
    position: int | None,
) -> Queued:
    if held_up := _held_up(job.status, job.pool, paused=job.paused_at is not None):
        return Queued(position, held_up)
    if blocker is not None:
        other = _held_up(blocker.status, blocker.pool, paused=blocker.paused)
        return Queued(position, Reason.DESTINATION, blocker.job_id, blocker.clash, other)
    if not (job.owner.active and Role(job.owner.role).includes(Role.OPERATOR)):
        return Queued(position, Reason.USER_LIMIT)
    asking = _as_queued(job)
    others = load.without(asking) if _waits_for_slot(job) else load
    obstacle = others.obstacle(asking) or Obstacle(Reason.SLOT)
    if obstacle.remote_id is not None:
        limit = load.remote_limits[obstacle.remote_id]
        return Queued(
            position, obstacle.reason, remote=names.get(obstacle.remote_id, ""), limit=limit
        )
    limit = load.user_limit if obstacle.reason == Reason.USER_LIMIT else 0
    return Queued(position, obstacle.reason, limit=limit)


def _as_queued(job: Job) -> QueuedJob:
    remotes = (job.source_remote_id, job.destination_remote_id)
    ids = tuple(remote for remote in remotes if remote is not None)
    return QueuedJob(job.id, job.owner_id, job.priority, job.first_try_id or job.id, ids)


def _held_up(status: str, pool: str | None, *, paused: bool) -> Reason | None:
    if paused:
        return Reason.PAUSED
    queued = status == JobStatus.QUEUED
    if queued and runtime().settings.scale_out and not workers.has_worker(pool):
        return Reason.NO_WORKER
    return None


def _names(connection: Connection, load: Load) -> dict[int, str]:
    full = load.full_remotes
    if not full:
        return {}
    query = select(Remote.id, Remote.name).where(Remote.id.in_(full))
    return {row.id: row.name for row in connection.execute(query)}


class _Positions:
    """The positions of each pool: when they were read, in which state, and by job."""

    def __init__(self) -> None:
        self.seen: dict[str | None, tuple[float, object, dict[int, int]]] = {}


def _positions(connection: Connection, pool: str | None) -> dict[int, int]:
    """Returns the positions of the first jobs in the queue of a pool."""
    # Each change of a status leaves an event; each priority, limit and pause an audit entry.
    newest = select(
        select(func.max(JobEvent.id)).scalar_subquery(),
        select(func.max(AuditEntry.id)).scalar_subquery(),
    )
    state = tuple(connection.execute(newest).one())
    memory = current()[_Positions].seen
    read_at, known, places = memory.get(pool, (0.0, None, {}))
    # A transaction that began earlier may commit later: its entry is not the newest one.
    if known != state or elapsed() > read_at + _LONGEST:
        first = islice(scheduler.in_order(connection, [pool]), MAX_POSITION)
        places = {job.job_id: place for place, job in enumerate(first, 1)}
        memory[pool] = elapsed(), state, places
    return places
