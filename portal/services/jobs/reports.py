"""What workers report of the jobs they hold: claim, progress, heartbeat, the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    cast,
    column,
    exists,
    select,
    tuple_,
    update,
    values,
)
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import begin_write, database_time, glance
from portal.models import Job, WorkerProcess
from portal.models.job import worked
from portal.realtime import publish
from portal.services.jobs import places
from portal.services.jobs.places import Places
from portal.services.jobs.transitions import (
    add_activity,
    bytes_counted,
    change,
    changing,
    shares,
    touch_row,
)
from portal.transfers.states import ACTIVE, JobStatus

#: Columns of a job that a reading fills: those that stay for the next attempt, and all.
KEPT_FIGURES = (
    "bytes_transferred",
    "bytes_arrived",
    "total_bytes",
    "percent",
    "files_transferred",
    "files_total",
    "files_listed",
    "files_unchanged",
    "files_deleted",
)
_FIGURES = (*KEPT_FIGURES, "phase", "speed_bytes", "eta_seconds", "current_files")
_MAY_BE_UNKNOWN = ("total_bytes", "percent", "eta_seconds")


class Standing(Enum):
    """Whether a worker still holds its job."""

    HOLDS = auto()
    CANCELLED = auto()
    LOST = auto()


class Reading(Protocol):
    """Figures of a running transfer; ``engine.Progress`` has this shape."""

    @property
    def phase(self) -> str: ...
    @property
    def bytes_transferred(self) -> int: ...
    @property
    def total_bytes(self) -> int | None: ...
    @property
    def percent(self) -> float | None: ...
    @property
    def speed_bytes(self) -> int: ...
    @property
    def eta_seconds(self) -> int | None: ...
    @property
    def files_transferred(self) -> int: ...
    @property
    def files_total(self) -> int: ...
    @property
    def files_listed(self) -> int: ...
    @property
    def bytes_arrived(self) -> int: ...
    @property
    def files_unchanged(self) -> int: ...
    @property
    def files_deleted(self) -> int: ...
    @property
    def current_files(self) -> tuple[Any, ...]: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How rclone ended: ``reason`` is a sentence for a person where it did not succeed."""

    succeeded: bool
    reason: str | None
    exit_code: int | None
    error_lines: tuple[str, ...] = ()
    #: What a dry run found it would do; ``engine.Plan`` as plain data.
    plan: dict[str, Any] | None = None
    #: Columns of the job with what was found, see ``engine.Found``.
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hold:
    """A worker's hold on a job: one attempt at it. A stale one changes nothing anywhere."""

    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one look at a job in work."""

    standing: Standing
    paused: bool
    bandwidth_limit: str | None


_GONE = Seen(Standing.LOST, paused=False, bandwidth_limit=None)


@dataclass(frozen=True, slots=True)
class Told:
    """A reading on its way; ``since``: when the last one before it arrived."""

    hold: Hold
    reading: Reading
    since: datetime | None = None


def claim(
    job_id: int, worker: str, worker_id: int | None = None, found: Places | None = None
) -> Job | None:
    """The job, now running in a new attempt of ``worker``; None when it is not queued, when
    another one writes to the same place (``found``: where this one does, as of now), or when the
    row of this worker says that it takes no more jobs."""
    written = _written(job_id, found)
    if written is None:
        return None
    with changing(job_id) as writing:
        places.claim_in_turn(writing)
        if found is not None:
            places.keep(writing, job_id, found)
        job = change(
            writing,
            job_id,
            JobStatus.QUEUED,
            JobStatus.RUNNING,
            only_if=[*_takes_jobs(worker_id), *places.is_alone(job_id, written)],
            attempt=Job.attempt + 1,
            worker=worker,
            worker_id=worker_id,
            earlier_seconds=_seconds_so_far(writing, job_id),
            started_at=database_time(),
            heartbeat_at=database_time(),
            **_keys(found),
            **standing_still(),
        )
        if job is not None:
            writing.commit()
            publish.status_changed(job, JobStatus.QUEUED)
    if job is None:
        _written(job_id, found)  # another claim came first: who ends that job finds this one
    return job


def _seconds_so_far(writing: Session, job_id: int) -> int:
    """For how long the attempts before have worked at a job."""
    columns = (Job.earlier_seconds, Job.started_at, Job.heartbeat_at)
    row = writing.execute(select(*columns).where(Job.id == job_id)).one_or_none()
    if row is None:
        return 0
    return int(row.earlier_seconds) + (worked(row.started_at, None, row.heartbeat_at) or 0)


def _written(job_id: int, found: Places | None) -> frozenset[str] | None:
    """The places that the job writes to; None if it has to wait for another one. Only a look: who
    waits takes no lock."""
    with glance() as connection:
        known = places.keys_of(connection, job_id)
        written = known if found is None else found.written
        waits = places.waits(connection, job_id, written)
    if waits and found is not None and written != known:
        # By these it is found again when the other one ends.
        writing = begin_write()
        places.keep(writing, job_id, found)
        writing.commit()
    return None if waits else written


def _keys(found: Places | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {"source_key": found.source, "destination_key": found.destination}


def _takes_jobs(worker_id: int | None) -> list[ColumnElement[bool]]:
    if worker_id is None:
        return []
    taking = select(WorkerProcess.id).where(
        WorkerProcess.id == worker_id,
        WorkerProcess.paused_at.is_(None),
        WorkerProcess.draining_at.is_(None),
        WorkerProcess.stopped_at.is_(None),
    )
    return [exists(taking)]


def tell(told: Sequence[Told]) -> dict[Hold, Standing]:
    """Writes and publishes readings of several jobs in one transaction; says of each hold
    whether it still is one."""
    if not told:
        return {}
    with changing(*(one.hold.job_id for one in told)) as writing:
        before = bytes_counted(writing, *(one.hold.job_id for one in told))
        rows = _write_readings(writing, told, before)
        jobs = {Hold(job.id, job.attempt): job for job in rows}
        _count(writing, [one for one in told if one.hold in jobs], jobs, before)
        writing.commit()
        for job in jobs.values():
            publish.progress(job)
    others = [one.hold for one in told if one.hold not in jobs]
    return dict.fromkeys(jobs, Standing.HOLDS) | look(others)


def _count(
    writing: Session, told: Sequence[Told], jobs: dict[Hold, Job], before: dict[int, int]
) -> None:
    # What the row has gained, and nothing that a worker remembers: after a commit of which the
    # answer was lost, the two would differ, and so would dashboard and history.
    moment, minutes = now(), Counter[datetime]()
    for one in told:
        gained = jobs[one.hold].bytes_transferred - before[one.hold.job_id]
        minutes.update(dict(shares(gained, one.since, moment)))
    # Oldest first, as everywhere: see ``transitions.change``.
    for minute, moved in sorted(minutes.items()):
        add_activity(writing, minute, bytes_moved=moved)


def _write_readings(
    writing: Session, told: Sequence[Told], before: dict[int, int]
) -> Sequence[Job]:
    # One statement for all: a hundred running jobs cost the database hardly more than one.
    new = _as_table(told, before)
    figures: dict[str, ColumnElement[Any]] = {name: new.c[name] for name in _FIGURES}
    for name in _MAY_BE_UNKNOWN:
        # PostgreSQL takes a column of which no row knows anything for text.
        figures[name] = cast(new.c[name], Job.__table__.c[name].type)
    return writing.scalars(
        update(Job)
        .where(
            Job.id == new.c.job_id,
            Job.attempt == new.c.attempt,
            Job.status == JobStatus.RUNNING,
        )
        .values(
            seq=Job.seq + 1,
            heartbeat_at=database_time(),
            progress_at=database_time(),
            **figures,
        )
        .returning(Job),
        execution_options={"synchronize_session": False, "populate_existing": True},
    ).all()


def _as_table(told: Sequence[Told], before: dict[int, int]) -> CTE:
    columns = [column(name, Job.__table__.c[name].type) for name in _FIGURES]
    rows = []
    for one in told:
        figures = _figures(one.reading)
        counted = before.get(one.hold.job_id, 0)
        # What was counted once is not taken back.
        figures["bytes_transferred"] = max(counted, one.reading.bytes_transferred)
        rows.append((one.hold.job_id, one.hold.attempt, *figures.values()))
    keys = (column("job_id", BigInteger), column("attempt", Integer))
    return values(*keys, *columns, name="told").data(rows).cte("told")


def look(holds: Sequence[Hold]) -> dict[Hold, Standing]:
    """Whether these still are holds, without a word of progress."""
    return {hold: seen.standing for hold, seen in survey(holds).items()}


def survey(holds: Sequence[Hold]) -> dict[Hold, Seen]:
    """As ``look``, with what people ask of these jobs meanwhile."""
    if not holds:
        return {}
    ids = [hold.job_id for hold in holds]
    columns = (Job.id, Job.attempt, Job.status, Job.paused_at, Job.bandwidth_limit)
    with glance() as connection:
        rows = connection.execute(select(*columns).where(Job.id.in_(ids)))
        found = {
            Hold(row.id, row.attempt): Seen(
                _standing(row.status), row.paused_at is not None, row.bandwidth_limit
            )
            for row in rows
        }
    return {hold: found.get(hold, _GONE) for hold in holds}


def _standing(status: str | None) -> Standing:
    if status not in ACTIVE:
        return Standing.LOST
    return Standing.CANCELLED if status == JobStatus.CANCELLING else Standing.HOLDS


def heartbeat(holds: Sequence[Hold]) -> dict[Hold, Standing]:
    """Keeps these holds for another while; says which still are."""
    if not holds:
        return {}
    keys = [(hold.job_id, hold.attempt) for hold in holds]
    writing = begin_write()
    try:
        rows = writing.execute(
            update(Job)
            .where(tuple_(Job.id, Job.attempt).in_(keys), Job.status.in_(ACTIVE))
            .values(heartbeat_at=database_time())
            .returning(Job.id, Job.attempt, Job.status),
            execution_options={"synchronize_session": False},
        ).all()
        writing.commit()
    finally:
        writing.rollback()
    found = {Hold(row.id, row.attempt): row.status for row in rows}
    return {hold: _standing(found.get(hold)) for hold in holds}


def tell_trouble(
    hold: Hold,
    words: str | None,
    *,
    silent_since: datetime | None = None,
    next_try_at: datetime | None = None,
) -> None:
    """What stands in the way of a running job; None for nothing any more."""
    with changing(hold.job_id) as writing:
        job = touch_row(
            writing,
            hold.job_id,
            JobStatus.RUNNING,
            hold.attempt,
            trouble=words,
            storage_silent_since=silent_since,
            next_try_at=next_try_at,
        )
        if job is not None:
            writing.commit()
            publish.changed(job)


def finish(
    hold: Hold, ending: Ending, reading: Reading | None, *, since: datetime | None = None
) -> None:
    """The one end of an attempt: completed or failed; cancelled, if that was asked for meanwhile,
    whatever rclone made of it. ``since``: when the last reading before this one arrived."""
    new = JobStatus.COMPLETED if ending.succeeded else JobStatus.FAILED
    figures = {"exit_code": ending.exit_code, **_last_figures(reading), **ending.found}
    told: dict[str, Any] = {"error": ending.reason, "error_lines": list(ending.error_lines)}
    if ending.plan is not None:
        told["plan"] = ending.plan
    _end(hold, new, figures | told, cancelled=figures, note=ending.reason or "", since=since)


def give_back(hold: Hold, reading: Reading | None, *, since: datetime | None = None) -> None:
    """An orderly stop of the worker: back to the queue, or cancelled if that was asked for."""
    figures = _last_figures(reading) | {"heartbeat_at": database_time()}
    nobody = {"worker": None, "worker_id": None}
    queued = {**figures, "queued_at": database_time(), **nobody, **standing_still()}
    note = "the worker was stopped"
    _end(hold, JobStatus.QUEUED, queued, cancelled=figures, note=note, since=since)


def interrupt(
    hold: Hold, reason: str, reading: Reading | None, *, since: datetime | None = None
) -> None:
    """The worker could not keep its hold and has ended rclone; ``reason`` is for a person."""
    figures = _last_figures(reading)
    lost = figures | {
        "interruptions": Job.interruptions + 1,
        "speed_bytes": 0,
        "eta_seconds": None,
        "error": reason,
    }
    _end(hold, JobStatus.INTERRUPTED, lost, cancelled=figures, note=reason, since=since)


def _end(
    hold: Hold,
    new: JobStatus,
    values: dict[str, Any],
    *,
    cancelled: dict[str, Any],
    note: str,
    since: datetime | None,
) -> None:
    """From running to ``new``; from cancelling to cancelled."""
    of: dict[str, Any] = {"of_attempt": hold.attempt, "moved_since": since}
    with changing(hold.job_id) as writing:
        old = JobStatus.RUNNING
        job = change(writing, hold.job_id, old, new, note=note, **of, **values)
        if job is None:
            old = JobStatus.CANCELLING
            job = change(writing, hold.job_id, old, JobStatus.CANCELLED, **of, **cancelled)
        if job is not None:
            writing.commit()
            publish.status_changed(job, old)


def _last_figures(reading: Reading | None) -> dict[str, Any]:
    return _figures(reading) | {"current_files": []} if reading else {}


def _figures(reading: Reading) -> dict[str, Any]:
    figures = {name: getattr(reading, name) for name in _FIGURES}
    return figures | {"current_files": [asdict(file) for file in reading.current_files]}


def standing_still() -> dict[str, Any]:
    """Figures of a job on which nobody works. Those of what was done so far stay: a job's figures
    are those of all its attempts."""
    return {
        "phase": None,
        "speed_bytes": 0,
        "eta_seconds": None,
        "current_files": [],
        "progress_at": None,
    }
