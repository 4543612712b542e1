"""Worker processes of the scale-out mode: what they report about themselves, and what admins ask of
them. All times are the database's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, extract, func, select, update

from portal.db.session import (
    database_time,
    read_connection,
    session,
    write,
)
from portal.errors import Conflict, NotFound
from portal.models import Job, WorkerProcess
from portal.realtime import publish
from portal.runtime.context import current
from portal.services import audit
from portal.services.actor import Actor
from portal.transfers.pools import DEFAULT_POOL
from portal.transfers.states import ACTIVE

#: States of workers that still exist; the others have ended.
PRESENT = ("running", "paused", "draining", "lost")
#: Seconds without a heartbeat after which a worker counts as lost.
SILENT = 45.0
#: Rows of workers that have ended are kept for a day.
_KEPT = 86_400.0
#: Seconds for which a process uses its cached view of the pools.
_MEMORY = 2.0


@dataclass(frozen=True, slots=True)
class WorkerDescription:
    """A worker process as it describes itself, see ``WorkerProcess``."""

    name: str
    host: str
    pid: int
    machine: str
    process: str
    pools: Sequence[str]
    version: str
    concurrency: int


@dataclass(frozen=True, slots=True)
class WorkerDirectives:
    """What admins ask of a worker, and the time of the database."""

    paused: bool
    draining: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class WorkerView:
    """``state``: running, paused, draining, lost or stopped; ``jobs``: ids of those it runs."""

    row: WorkerProcess
    state: str
    silent_seconds: float
    jobs: tuple[int, ...]


# --- what workers say ---------------------------------------------------------------------------


def register(process: WorkerDescription) -> int:
    with write() as tx:
        times: Any = {"started_at": database_time(), "heartbeat_at": database_time()}
        row = WorkerProcess(
            name=process.name,
            host=process.host,
            pid=process.pid,
            machine=process.machine,
            process=process.process,
            pools=list(process.pools),
            version=process.version,
            concurrency=process.concurrency,
            **times,
        )
        tx.add(row)
        over = func.coalesce(WorkerProcess.stopped_at, WorkerProcess.heartbeat_at)
        tx.execute(delete(WorkerProcess).where(over < database_time(ago=_KEPT)))
        tx.flush()
        number = row.id
        tx.commit()
    publish.workers_changed()
    return number


def beat(worker_id: int, root_problems: Sequence[str] = ()) -> WorkerDirectives | None:
    """Records a heartbeat of the process. Returns None if its row is gone."""
    with write() as tx:
        row = tx.execute(
            update(WorkerProcess)
            .where(WorkerProcess.id == worker_id)
            .values(heartbeat_at=database_time(), root_problems=list(root_problems))
            .returning(
                WorkerProcess.paused_at, WorkerProcess.draining_at, WorkerProcess.heartbeat_at
            ),
            execution_options={"synchronize_session": False},
        ).one_or_none()
        tx.commit()
    if row is None:
        return None
    return WorkerDirectives(
        row.paused_at is not None, row.draining_at is not None, row.heartbeat_at
    )


def mark_stopped(worker_id: int) -> None:
    """Notes that a worker ended in an orderly way, or is certainly dead. It may be noted already:
    workers that start together find the same dead ones."""
    with write() as tx:
        ended = tx.execute(
            update(WorkerProcess)
            .where(WorkerProcess.id == worker_id, WorkerProcess.stopped_at.is_(None))
            .values(stopped_at=database_time())
            .returning(WorkerProcess.id),
            execution_options={"synchronize_session": False},
        ).one_or_none()
        tx.commit()
    if ended is not None:
        publish.workers_changed()


def find_unended(machine: str) -> list[tuple[int, str]]:
    """Returns ids and processes of the workers of this machine that never reported their
    end."""
    mine = (WorkerProcess.machine == machine, WorkerProcess.stopped_at.is_(None))
    rows = session.execute(select(WorkerProcess.id, WorkerProcess.process).where(*mine)).all()
    session.rollback()
    return [(row.id, row.process) for row in rows]


# --- what admins ask ----------------------------------------------------------------------------


def listing() -> list[WorkerView]:
    """Returns the workers, newest first, with those that ended within the last day."""
    age: ColumnElement[Any] = extract("epoch", database_time() - WorkerProcess.heartbeat_at)
    if session.get_bind().dialect.name == "sqlite":
        age = (func.julianday("now") - func.julianday(WorkerProcess.heartbeat_at)) * 86_400
    rows = session.execute(select(WorkerProcess, age).order_by(WorkerProcess.id.desc())).all()
    jobs: dict[int, list[int]] = {}
    running = select(Job.worker_id, Job.id).where(Job.status.in_(ACTIVE)).order_by(Job.id)
    for worker_id, job_id in session.execute(running):
        jobs.setdefault(worker_id or 0, []).append(job_id)
    return [
        WorkerView(row, _state(row, float(silent)), float(silent), tuple(jobs.get(row.id, ())))
        for row, silent in rows
    ]


def counts() -> dict[str, int]:
    """Returns how many workers are in each state but stopped."""
    states = Counter(worker.state for worker in listing())
    return {state: states[state] for state in PRESENT}


def pause(worker_id: int, *, actor: Actor) -> None:
    """The worker finishes the jobs that it runs and takes no new one until it is resumed."""
    _ask(worker_id, "worker.pause", actor, paused_at=database_time())


def resume(worker_id: int, *, actor: Actor) -> None:
    _ask(worker_id, "worker.resume", actor, paused_at=None, draining_at=None)


def drain(worker_id: int, *, actor: Actor) -> None:
    """The worker finishes the jobs that it runs, takes no new one, and ends."""
    _ask(worker_id, "worker.drain", actor, draining_at=database_time())


def _ask(worker_id: int, action: str, actor: Actor, **values: Any) -> None:
    with write() as tx:
        name = tx.scalar(
            update(WorkerProcess)
            .where(WorkerProcess.id == worker_id, WorkerProcess.stopped_at.is_(None))
            .values(**values)
            .returning(WorkerProcess.name),
            execution_options={"synchronize_session": False},
        )
        if name is None:
            if tx.get(WorkerProcess, worker_id) is None:
                raise NotFound("There is no such worker.")
            raise Conflict("This worker has stopped.")
        audit.record(tx, action, actor, target=f"worker {name}")
        tx.commit()
    publish.workers_changed()


def _state(row: WorkerProcess, silent: float) -> str:
    if row.stopped_at is not None:
        return "stopped"
    if silent > SILENT:
        return "lost"
    if row.draining_at is not None:
        return "draining"
    return "paused" if row.paused_at is not None else "running"


# --- pools --------------------------------------------------------------------------------------


class _Served:
    """The pools with workers, cached for a moment, and those that the pages were told about."""

    def __init__(self) -> None:
        self.seen: tuple[float, frozenset[str]] | None = None
        self.announced: frozenset[str] | None = None


def pools() -> dict[str, bool]:
    """Returns the pools that workers serve or have served within a day, by name, and whether a
    living worker takes their jobs. The default pool is left out."""
    found: dict[str, bool] = {}
    with read_connection() as connection:
        for names, takes in connection.execute(select(WorkerProcess.pools, and_(*_taking()))):
            for name in names:
                found[name] = found.get(name, False) or bool(takes)
    found.pop(DEFAULT_POOL, None)
    return dict(sorted(found.items()))


def watch() -> None:
    """Makes the pages of this process fetch anew if a pool has got its first worker that takes
    jobs, or has lost its last one, since the last call: waiting jobs show that."""
    memory, served = current()[_Served], _served_pools()
    if memory.announced not in (None, served):
        publish.pools_changed()
    memory.announced = served


def has_worker(pool: str | None) -> bool:
    """Returns whether a living worker takes jobs of the pool, as cached for a moment."""
    memory = current()[_Served]
    if memory.seen is None or time.monotonic() > memory.seen[0] + _MEMORY:
        memory.seen = time.monotonic(), _served_pools()
    return (pool or DEFAULT_POOL) in memory.seen[1]


def any_lives() -> bool:
    """Returns whether a worker of any pool lives."""
    with read_connection() as connection:
        return bool(connection.scalar(select(exists().where(*_living()))))


def root_problems() -> list[str]:
    """Returns a sentence for each folder that living workers do not find on their machines."""
    query = select(WorkerProcess.name, WorkerProcess.root_problems).where(*_living())
    with read_connection() as connection:
        rows = connection.execute(query.order_by(WorkerProcess.id)).all()
    return [f"Worker {row.name}: {problem}" for row in rows for problem in row.root_problems]


def _served_pools() -> frozenset[str]:
    with read_connection() as connection:
        found = connection.scalars(select(WorkerProcess.pools).where(*_taking()))
        return frozenset(pool for pools in found for pool in pools)


def _living() -> tuple[ColumnElement[bool], ...]:
    recent = WorkerProcess.heartbeat_at >= database_time(ago=SILENT)
    return WorkerProcess.stopped_at.is_(None), recent


def _taking() -> tuple[ColumnElement[bool], ...]:
    idle = (WorkerProcess.paused_at.is_(None), WorkerProcess.draining_at.is_(None))
    return *_living(), *idle
