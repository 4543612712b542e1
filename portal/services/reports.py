"""What workers report of the jobs they hold: claim, progress, the end; and what a sweep finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import Any, Protocol

from sqlalchemy import select, update

from portal import live
from portal.clock import now
from portal.database import session
from portal.models import Job
from portal.services.transitions import add_activity, change, changing, touch_row
from portal.states import ACTIVE, MAX_INTERRUPTIONS, JobStatus, Operation


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
    def current_files(self) -> tuple[Any, ...]: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How rclone ended: ``reason`` is a sentence for a person where it did not succeed."""

    succeeded: bool
    reason: str | None
    exit_code: int | None
    error_lines: tuple[str, ...] = ()


def claim(job_id: int, worker: str) -> Job | None:
    """The job, now running in a new attempt of ``worker``; None when it is not queued."""
    with changing(job_id) as writing:
        moment = now()
        job = change(
            writing,
            job_id,
            JobStatus.QUEUED,
            JobStatus.RUNNING,
            attempt=Job.attempt + 1,
            worker=worker,
            started_at=moment,
            heartbeat_at=moment,
            **_blank_figures(),
        )
        if job is None:
            return None
        writing.commit()
        live.status_changed(job, JobStatus.QUEUED)
    return job


def progress(job_id: int, attempt: int, reading: Reading, *, moved: int) -> Standing:
    """Writes and publishes a reading; ``moved`` bytes are new since the last one."""
    with changing(job_id) as writing:
        moment = now()
        job = touch_row(
            writing,
            job_id,
            JobStatus.RUNNING,
            attempt,
            heartbeat_at=moment,
            progress_at=moment,
            **_figures(reading),
            current_files=[asdict(file) for file in reading.current_files],
        )
        if job is None:
            return _standing(job_id, attempt)
        add_activity(writing, moment, bytes_moved=moved)
        writing.commit()
        live.progress(job)
    return Standing.HOLDS


def standing(job_id: int, attempt: int) -> Standing:
    """Whether the worker still holds the job, without a word of progress."""
    found = _standing(job_id, attempt)
    session.rollback()
    return found


def heartbeat(job_id: int, attempt: int) -> None:
    with changing(job_id) as writing:
        writing.execute(
            update(Job)
            .where(Job.id == job_id, Job.attempt == attempt, Job.status.in_(ACTIVE))
            .values(heartbeat_at=now()),
            execution_options={"synchronize_session": False},
        )
        writing.commit()


def finish(
    job_id: int, attempt: int, ending: Ending, reading: Reading | None, *, moved: int
) -> None:
    """The one end of an attempt: completed or failed; cancelled, if that was asked for meanwhile,
    whatever rclone made of it. A stale attempt changes nothing."""
    figures = _figures(reading) if reading else {}
    new = JobStatus.COMPLETED if ending.succeeded else JobStatus.FAILED
    values = {
        "exit_code": ending.exit_code,
        "error": ending.reason,
        "error_lines": list(ending.error_lines),
        **figures,
    }
    with changing(job_id) as writing:
        old = JobStatus.RUNNING
        job = change(
            writing, job_id, old, new, of_attempt=attempt, note=ending.reason or "", **values
        )
        if job is None:
            old = JobStatus.CANCELLING
            values |= {"error": None, "error_lines": []}
            job = change(writing, job_id, old, JobStatus.CANCELLED, of_attempt=attempt, **values)
        if job is None:
            return
        add_activity(writing, now(), bytes_moved=moved)
        writing.commit()
        live.status_changed(job, old)


def give_back(job_id: int, attempt: int, reading: Reading | None, *, moved: int) -> None:
    """An orderly stop of the worker: back to the queue, or cancelled if that was asked for."""
    figures = _figures(reading) if reading else {}
    with changing(job_id) as writing:
        old = JobStatus.RUNNING
        job = change(
            writing,
            job_id,
            old,
            JobStatus.QUEUED,
            of_attempt=attempt,
            queued_at=now(),
            worker=None,
            note="the worker was stopped",
            **_blank_figures(),
        )
        if job is None:
            old = JobStatus.CANCELLING
            job = change(writing, job_id, old, JobStatus.CANCELLED, of_attempt=attempt, **figures)
        if job is None:
            return
        add_activity(writing, now(), bytes_moved=moved)
        writing.commit()
        live.status_changed(job, old)


# --- recovery -----------------------------------------------------------------------------------


def recover() -> None:
    """Takes back every job whose worker is gone. For the moment when no worker can be alive:
    the start of the only process."""
    for job in _snapshot(ACTIVE):
        if job.status == JobStatus.CANCELLING:
            _move(job, JobStatus.CANCELLED, note="its worker had died", speed_bytes=0)
        else:
            _move(
                job,
                JobStatus.INTERRUPTED,
                note="its worker died",
                interruptions=job.interruptions + 1,
                speed_bytes=0,
                eta_seconds=None,
                current_files=[],
                error="The portal stopped while this transfer was running.",
            )
    requeue_interrupted()


def requeue_interrupted() -> None:
    """Copies and checks go on by themselves, a few times; what deletes waits for a person."""
    for job in _snapshot((JobStatus.INTERRUPTED,)):
        if Operation(job.operation).deletes:
            continue
        if job.interruptions > MAX_INTERRUPTIONS:
            reason = f"Interrupted {job.interruptions} times; the transfer was given up."
            _move(job, JobStatus.FAILED, note=reason, error=reason)
        else:
            _move(
                job,
                JobStatus.QUEUED,
                queued_at=now(),
                worker=None,
                error=None,
                **_blank_figures(),
            )


def queued_ids() -> list[int]:
    """Jobs that wait, in the order in which they are to run."""
    ids = session.scalars(select(Job.id).where(Job.status == JobStatus.QUEUED).order_by(Job.id))
    found = list(ids)
    session.rollback()
    return found


def _move(job: Job, new: JobStatus, *, note: str = "", **values: Any) -> None:
    old = JobStatus(job.status)
    with changing(job.id) as writing:
        moved = change(writing, job.id, old, new, of_attempt=job.attempt, note=note, **values)
        if moved is not None:
            writing.commit()
            live.status_changed(moved, old)


def _snapshot(statuses: tuple[JobStatus, ...]) -> list[Job]:
    jobs = list(session.scalars(select(Job).where(Job.status.in_(statuses)).order_by(Job.id)))
    session.expunge_all()
    session.rollback()
    return jobs


def _standing(job_id: int, attempt: int) -> Standing:
    row = session.execute(select(Job.status, Job.attempt).where(Job.id == job_id)).one_or_none()
    if row is None or row.attempt != attempt or row.status not in ACTIVE:
        return Standing.LOST
    return Standing.CANCELLED if row.status == JobStatus.CANCELLING else Standing.HOLDS


def _figures(reading: Reading) -> dict[str, Any]:
    return {
        "phase": reading.phase,
        "bytes_transferred": reading.bytes_transferred,
        "total_bytes": reading.total_bytes,
        "percent": reading.percent,
        "speed_bytes": reading.speed_bytes,
        "eta_seconds": reading.eta_seconds,
        "files_transferred": reading.files_transferred,
        "files_total": reading.files_total,
        "files_listed": reading.files_listed,
    }


def _blank_figures() -> dict[str, Any]:
    return {
        "phase": None,
        "bytes_transferred": 0,
        "total_bytes": None,
        "percent": None,
        "speed_bytes": 0,
        "eta_seconds": None,
        "files_transferred": 0,
        "files_total": 0,
        "files_listed": 0,
        "current_files": [],
        "progress_at": None,
    }
