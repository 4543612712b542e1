"""The queue in the database: which job a worker is to claim next, see ``transfers.scheduling``.

The cost of a look does not grow with the queue: of each owner's jobs of one priority it reads the
oldest, and further ones only where that one has to wait for another job.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    any_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import aliased

from portal.db.clock import elapsed
from portal.db.session import read_connection
from portal.models import Job
from portal.runtime.context import current
from portal.services.jobs import blocking, claims, limits, places
from portal.services.jobs.places import JobPlaces, UsedPlaces
from portal.transfers import scheduling
from portal.transfers.scheduling import Load, Priority, QueuedJob

#: How many jobs of one owner are read at a time; each time more.
_FIRST_BATCH, _GROWTH = 20, 5

#: Seconds for which the pools of the queued jobs are kept.
_POOLS_SECONDS = 15.0

#: A literal, not a parameter: SQLite uses a partial index only if the statement itself says so.
_QUEUED: ColumnElement[str] = literal_column("'queued'")
#: How many rows a query is to read.
_NUMBER = bindparam("number", type_=Integer)

#: Names of pools; None among them is the default pool.
Pools = Collection[str | None]


def find_next(
    pools: Pools | None,
    worker_id: int | None = None,
    claiming: Collection[QueuedJob] = (),
    refused: Collection[int] = (),
) -> QueuedJob | None:
    """Returns the job that a worker of these pools (None: of all) with a free slot is to claim;
    None if none may run. ``claiming``: jobs that this worker is just claiming; ``refused``: ids of
    jobs that it could not claim."""
    with read_connection() as connection:
        taking = claims.takes_jobs(worker_id)
        if taking and not connection.scalar(select(and_(*taking))):
            return None
        load = limits.read_load(connection, claiming)
        skip = {*refused, *(job.job_id for job in claiming)}
        served = _all_pools(connection) if pools is None else pools
        waiting = _Waiting(connection)
        found = _groups(connection, served, skip, load, expect=waiting.expect)
        groups = {
            (priority, owner): jobs
            for (priority, owner), jobs in found.items()
            if not load.is_at_limit(owner)
        }
        for job in scheduling.candidates(groups, load):
            if load.obstacle(job) is None and not waiting.waits(job):
                return job
    return None


def claim(
    job: QueuedJob | int,
    worker: str,
    worker_id: int | None = None,
    found: JobPlaces | None = None,
) -> Job | None:
    """Returns the job, now running in a new attempt of ``worker``; None if it may not run.
    ``found``: where it reads and writes, if that was just looked up."""
    job_id = job if isinstance(job, int) else job.job_id
    found = found or places.of_queued(job_id)
    if found is None:
        return None
    return claims.claim(job_id, worker, worker_id, found, only_if=limits.leave_room())


def in_order(connection: Connection, pools: Pools | None) -> Iterator[QueuedJob]:
    """Yields the jobs of these pools (None: of all) in the order in which they will run. Those that
    are paused, or whose owners may not run jobs, are left out. To be read while the connection is
    open."""
    load = limits.read_load(connection)
    load.remote_limits = {}
    served = _all_pools(connection) if pools is None else pools
    groups = _groups(connection, served, (), load, at_once=_FIRST_BATCH)
    return scheduling.in_order(groups, load)


class _Waiting:
    """Which jobs have to wait for another one, as one look at the queue finds it. Thousands of them
    may be there to write to one folder."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._unread: set[int] = set()
        self._used: dict[int, UsedPlaces] = {}
        #: By the places that a job uses: the rank of the first one that has to wait. All those
        #: behind it that use the same places wait for it, if for nobody else.
        self._first: dict[UsedPlaces, tuple[int, ...]] = {}

    def expect(self, jobs: Collection[QueuedJob]) -> None:
        """``waits`` may soon be asked about these: their places are read together."""
        self._unread.update(job.job_id for job in jobs)

    def waits(self, job: QueuedJob) -> bool:
        if job.job_id in self._unread:
            self._used |= blocking.used_by_each(self._connection, self._unread)
            self._unread.clear()
        used = self._used.get(job.job_id)
        if used is None:
            return False
        rank = -job.priority, *job.age
        first = self._first.get(used)
        if first is not None and first < rank:
            return True
        if not blocking.waits(self._connection, job.job_id, used):
            return False
        self._first[used] = rank
        return True


# --- reading the queue ---------------------------------------------------------------------------


class _SeenPools:
    """The pools of all queued jobs, as seen a moment ago."""

    def __init__(self) -> None:
        self.until = 0.0
        self.pools: list[str | None] = [None]


def _all_pools(connection: Connection) -> Pools:
    # To find them takes a walk through the whole queue, and a portal of one process has jobs of a
    # named pool only from a time when it had workers.
    seen = current()[_SeenPools]
    if elapsed() > seen.until:
        named = select(Job.pool).where(Job.status == _QUEUED, Job.pool.is_not(None)).distinct()
        seen.pools, seen.until = [None, *connection.scalars(named)], elapsed() + _POOLS_SECONDS
    return seen.pools


def _groups(
    connection: Connection,
    pools: Pools,
    skip: Collection[int],
    load: Load,
    at_once: int = 1,
    expect: Callable[[Collection[QueuedJob]], None] = lambda _jobs: None,
) -> dict[tuple[int, int], Iterator[QueuedJob]]:
    """Returns the jobs that no storage's limit and no pause holds up, see ``scheduling.Groups``;
    of each group the first so many are read now, and the others when they are asked for.
    ``expect`` is told of each that was read."""
    found: dict[tuple[int, int], list[Iterator[QueuedJob]]] = defaultdict(list)
    for pool in pools:
        queue = _Queue(connection, pool, skip, load.full_remotes, expect)
        for key, first in queue.read_first(at_once).items():
            found[key].append(queue.read_on(first, at_once))
    return {key: heapq.merge(*own, key=lambda job: job.age) for key, own in found.items()}


class _Kind(NamedTuple):
    """What distinguishes the statements. ``skips``, ``full``: whether there are jobs to skip, and
    full remotes: SQLAlchemy writes each list out anew for each look, an empty one too."""

    default_pool: bool
    skips: bool
    full: bool
    is_postgresql: bool


class _Queue:
    """The queued jobs of one pool that may be claimed. All queries walk along ``ix_jobs_queue``, in
    which the jobs of one priority and owner stand together, the oldest first."""

    def __init__(
        self,
        connection: Connection,
        pool: str | None,
        skip: Collection[int],
        full_remotes: Collection[int],
        expect: Callable[[Collection[QueuedJob]], None],
    ) -> None:
        self._connection = connection
        self._expect = expect
        is_postgresql = connection.dialect.name == "postgresql"
        self._kind = _Kind(pool is None, bool(skip), bool(full_remotes), is_postgresql)
        self._values = {"pool": pool, "skip": tuple(skip), "full": tuple(full_remotes)}

    def read_first(self, number: int) -> dict[tuple[int, int], list[QueuedJob]]:
        """Returns the first so many jobs of each priority and owner."""
        found: dict[tuple[int, int], list[QueuedJob]] = defaultdict(list)
        for job in self._read(_first_jobs(self._kind), number=number):
            found[job.priority, job.owner_id].append(job)
        for jobs in found.values():
            jobs.sort(key=lambda job: job.age)
        return found

    def read_on(self, first: list[QueuedJob], number: int) -> Iterator[QueuedJob]:
        """Yields these jobs, which are the first ``number`` of their priority and owner, and then
        those behind them."""
        batch = first
        while batch:
            yield from batch
            if len(batch) < number:
                return
            number = _FIRST_BATCH if number == 1 else number * _GROWTH
            batch = self._after(batch[-1], number)

    def _after(self, last: QueuedJob, number: int) -> list[QueuedJob]:
        first_try, job_id = last.age
        return self._read(
            _jobs_behind(self._kind),
            number=number,
            priority=last.priority,
            owner=last.owner_id,
            first_try=first_try,
            id=job_id,
        )

    def _read(self, query: Select[Any], **values: int) -> list[QueuedJob]:
        rows = self._connection.execute(query, self._values | values)
        jobs = [_queued(row) for row in rows]
        self._expect(jobs)
        return jobs


# The statements are made once: SQLAlchemy takes longer to put one together than to execute it.


@cache
def _first_jobs(kind: _Kind) -> Select[Any]:
    heads, mine, job = _heads(kind), aliased(Job), aliased(Job)
    own = mine.priority == heads.c.priority, mine.owner_id == heads.c.owner_id
    first = _ids(kind, mine, *own).limit(_NUMBER).correlate(heads)
    return select(*_columns(job)).select_from(heads).join(job, _is_one_of(kind, job, first))


@cache
def _jobs_behind(kind: _Kind) -> Select[Any]:
    job = aliased(Job)
    behind = (
        job.priority == bindparam("priority"),
        job.owner_id == bindparam("owner"),
        tuple_(job.first_try_id, job.id)
        > tuple_(bindparam("first_try", type_=Integer), bindparam("id", type_=Integer)),
    )
    query = _ids(kind, job, *behind)
    return query.with_only_columns(*_columns(job)).limit(_NUMBER)


def _is_one_of(kind: _Kind, job: type[Job], ids: Select[Any]) -> ColumnElement[bool]:
    """Condition. PostgreSQL would put IN (SELECT …) to every job for every owner; what is in an
    array it looks up by the index."""
    if kind.is_postgresql:
        return job.id == any_(func.array(ids.scalar_subquery()))
    return job.id.in_(ids)


def _heads(kind: _Kind) -> CTE:
    """The first job of each priority and owner. From each the query goes on to the next owner, so
    that it reads no other rows."""
    job, first = aliased(Job), aliased(Job)
    starts = [
        _ids(kind, first, first.priority == priority).limit(1).scalar_subquery()
        for priority in Priority
    ]
    heads = select(job.id, job.priority, job.owner_id).where(job.id.in_(starts))
    walk = heads.cte("heads", recursive=True)
    following, later = aliased(Job), aliased(Job)
    next_one = later.priority == walk.c.priority, later.owner_id > walk.c.owner_id
    next_owner = _ids(kind, later, *next_one).limit(1).correlate(walk)
    return walk.union_all(
        select(following.id, following.priority, following.owner_id)
        .select_from(walk)
        .join(following, _is_one_of(kind, following, next_owner))
    )


def _ids(kind: _Kind, job: type[Job], *condition: ColumnElement[bool]) -> Select[Any]:
    """Selects the ids of those that may be claimed, in the order of the index."""
    pool = job.pool.is_(None) if kind.default_pool else job.pool == bindparam("pool")
    eligible = [job.paused_at.is_(None), limits.may_run_jobs(job.owner_id)]
    if kind.skips:
        eligible.append(job.id.not_in(bindparam("skip", expanding=True)))
    if kind.full:
        full: Any = bindparam("full", expanding=True)
        sides = job.source_remote_id, job.destination_remote_id
        eligible += [or_(side.is_(None), side.not_in(full)) for side in sides]
    return (
        select(job.id)
        .where(job.status == _QUEUED, pool, *condition, *eligible)
        .order_by(job.owner_id, job.first_try_id, job.id)
    )


def _columns(job: type[Job]) -> tuple[Any, ...]:
    remotes = job.source_remote_id, job.destination_remote_id
    return job.id, job.owner_id, job.priority, job.first_try_id, *remotes


def _queued(row: Any) -> QueuedJob:
    job_id, owner_id, priority, first_try_id, *remotes = row
    ids = tuple(remote for remote in remotes if remote is not None)
    return QueuedJob(job_id, owner_id, priority, first_try_id or job_id, ids)
