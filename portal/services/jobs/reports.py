"""Workers report here on the jobs that they have claimed: progress, heartbeat, the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

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
from portal.db.session import database_time, read_connection, write
from portal.engine import FIGURES, Progress
from portal.models import Job, WorkerProcess
from portal.models.job import run_seconds
from portal.realtime import publish
from portal.services.jobs import places
from portal.services.jobs.places import JobPlaces
from portal.services.jobs.transitions import (
    add_activity,
    bytes_counted,
    job_transaction,
    split_by_minute,
    transition,
    update_job,
)
from portal.transfers.states import ACTIVE, JobStatus

#: Figures that may be null.
_MAY_BE_UNKNOWN = [name for name in FIGURES if Job.__table__.c[name].nullable]


class ClaimStatus(Enum):
    """Whether a claim is still good."""

    VALID = auto()
    CANCELLED = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Ending:
    """How rclone ended. ``reason`` is a sentence for a person if it failed."""

    succeeded: bool
    reason: str | None
    exit_code: int | None
    error_lines: tuple[str, ...] = ()
    #: What a dry run found it would do: ``engine.Plan`` as plain data.
    plan: dict[str, Any] | None = None
    #: Columns of the job with the findings, see ``engine.Found``.
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to a job: one attempt at it. A stale claim changes nothing anywhere."""

    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class JobDirectives:
    """What people ask of a running job, and whether the claim on it is still good."""

    status: ClaimStatus
    paused: bool
    bandwidth_limit: str | None


_GONE = JobDirectives(ClaimStatus.LOST, paused=False, bandwidth_limit=None)


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """Figures on their way to the database. ``since``: when the previous figures arrived."""

    claim: Claim
    progress: Progress
    since: datetime | None = None


def claim(
    job_id: int, worker: str, worker_id: int | None = None, found: JobPlaces | None = None
) -> Job | None:
    """Returns the job, now running in a new attempt of ``worker``. Returns None if the job is not
    queued, if another job writes to the same place (``found``: where this one writes now), or if
    the row of this worker says that it takes no more jobs."""
    written = _written(job_id, found)
    if written is None:
        return None
    with job_transaction(job_id) as tx:
        places.claim_in_turn(tx)
        if found is not None:
            places.keep(tx, job_id, found)
        job = transition(
            tx,
            job_id,
            JobStatus.QUEUED,
            JobStatus.RUNNING,
            only_if=[*_takes_jobs(worker_id), *places.is_alone(job_id, written)],
            attempt=Job.attempt + 1,
            worker=worker,
            worker_id=worker_id,
            earlier_seconds=_seconds_so_far(tx, job_id),
            started_at=database_time(),
            heartbeat_at=database_time(),
            **_keys(found),
            **standing_still(),
        )
        if job is not None:
            tx.commit()
            publish.status_changed(job, JobStatus.QUEUED)
    if job is None:
        _written(job_id, found)  # another claim came first: its end has to find this job
    return job


def _seconds_so_far(tx: Session, job_id: int) -> int:
    """Returns for how long earlier attempts have worked at a job."""
    columns = (Job.earlier_seconds, Job.started_at, Job.heartbeat_at)
    row = tx.execute(select(*columns).where(Job.id == job_id)).one_or_none()
    if row is None:
        return 0
    return int(row.earlier_seconds) + (run_seconds(row.started_at, None, row.heartbeat_at) or 0)


def _written(job_id: int, found: JobPlaces | None) -> frozenset[str] | None:
    """Returns the places that the job writes to; None if it has to wait for another job. This is
    checked before the claim, so that a job that waits takes no lock."""
    with read_connection() as connection:
        known = places.keys_of(connection, job_id)
        written = known if found is None else found.written
        waits = places.waits(connection, job_id, written)
    if waits and found is not None and written != known:
        # When the other job ends, this one is found by these places.
        with write() as tx:
            places.keep(tx, job_id, found)
            tx.commit()
    return None if waits else written


def _keys(found: JobPlaces | None) -> dict[str, Any]:
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


def report_progress(reports: Sequence[ProgressReport]) -> dict[Claim, ClaimStatus]:
    """Writes and publishes the figures of several jobs in one transaction; returns the status of
    each claim."""
    if not reports:
        return {}
    with job_transaction(*(one.claim.job_id for one in reports)) as tx:
        before = bytes_counted(tx, *(one.claim.job_id for one in reports))
        rows = _write_progress(tx, reports, before)
        jobs = {Claim(job.id, job.attempt): job for job in rows}
        _count(tx, [one for one in reports if one.claim in jobs], jobs, before)
        tx.commit()
        for job in jobs.values():
            publish.progress(job)
    others = [one.claim for one in reports if one.claim not in jobs]
    return dict.fromkeys(jobs, ClaimStatus.VALID) | check_claims(others)


def _count(
    tx: Session,
    reports: Sequence[ProgressReport],
    jobs: dict[Claim, Job],
    before: dict[int, int],
) -> None:
    # Counts what the row has gained, not what a worker remembers. If the answer to a commit is
    # lost, the two differ, and dashboard and history would differ as well.
    moment, minutes = now(), Counter[datetime]()
    for one in reports:
        gained = jobs[one.claim].bytes_transferred - before[one.claim.job_id]
        minutes.update(dict(split_by_minute(gained, one.since, moment)))
    # Oldest first, as everywhere: see ``transitions.transition``.
    for minute, moved in sorted(minutes.items()):
        add_activity(tx, minute, bytes_moved=moved)


def _write_progress(
    tx: Session, reports: Sequence[ProgressReport], before: dict[int, int]
) -> Sequence[Job]:
    # One statement for all: a hundred running jobs cost the database hardly more than one.
    new = _as_table(reports, before)
    figures: dict[str, ColumnElement[Any]] = {name: new.c[name] for name in FIGURES}
    for name in _MAY_BE_UNKNOWN:
        # PostgreSQL takes a column that is null in every row for text.
        figures[name] = cast(new.c[name], Job.__table__.c[name].type)
    return tx.scalars(
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


def _as_table(reports: Sequence[ProgressReport], before: dict[int, int]) -> CTE:
    columns = [column(name, Job.__table__.c[name].type) for name in FIGURES]
    rows = []
    for one in reports:
        figures = _figures(one.progress)
        counted = before.get(one.claim.job_id, 0)
        # Bytes that were counted once are never subtracted.
        figures["bytes_transferred"] = max(counted, one.progress.bytes_transferred)
        rows.append((one.claim.job_id, one.claim.attempt, *figures.values()))
    keys = (column("job_id", BigInteger), column("attempt", Integer))
    return values(*keys, *columns, name="reports").data(rows).cte("reports")


def check_claims(claims: Sequence[Claim]) -> dict[Claim, ClaimStatus]:
    """Returns the status of each claim; writes nothing."""
    return {claim: found.status for claim, found in read_directives(claims).items()}


def read_directives(claims: Sequence[Claim]) -> dict[Claim, JobDirectives]:
    """Returns the status of each claim, and what people ask of its job."""
    if not claims:
        return {}
    ids = [claim.job_id for claim in claims]
    columns = (Job.id, Job.attempt, Job.status, Job.paused_at, Job.bandwidth_limit)
    with read_connection() as connection:
        rows = connection.execute(select(*columns).where(Job.id.in_(ids)))
        found = {
            Claim(row.id, row.attempt): JobDirectives(
                _claim_status(row.status), row.paused_at is not None, row.bandwidth_limit
            )
            for row in rows
        }
    return {claim: found.get(claim, _GONE) for claim in claims}


def _claim_status(status: str | None) -> ClaimStatus:
    if status not in ACTIVE:
        return ClaimStatus.LOST
    return ClaimStatus.CANCELLED if status == JobStatus.CANCELLING else ClaimStatus.VALID


def heartbeat(claims: Sequence[Claim]) -> dict[Claim, ClaimStatus]:
    """Renews these leases; returns the status of each claim."""
    if not claims:
        return {}
    keys = [(claim.job_id, claim.attempt) for claim in claims]
    with write() as tx:
        rows = tx.execute(
            update(Job)
            .where(tuple_(Job.id, Job.attempt).in_(keys), Job.status.in_(ACTIVE))
            .values(heartbeat_at=database_time())
            .returning(Job.id, Job.attempt, Job.status),
            execution_options={"synchronize_session": False},
        ).all()
        tx.commit()
    found = {Claim(row.id, row.attempt): row.status for row in rows}
    return {claim: _claim_status(found.get(claim)) for claim in claims}


def report_trouble(
    claim: Claim,
    words: str | None,
    *,
    silent_since: datetime | None = None,
    next_try_at: datetime | None = None,
) -> None:
    """Writes what is holding up a running job; None when nothing does any more."""
    with job_transaction(claim.job_id) as tx:
        job = update_job(
            tx,
            claim.job_id,
            JobStatus.RUNNING,
            claim.attempt,
            trouble=words,
            storage_silent_since=silent_since,
            next_try_at=next_try_at,
        )
        if job is not None:
            tx.commit()
            publish.changed(job)


def finish(
    claim: Claim, ending: Ending, progress: Progress | None, *, since: datetime | None = None
) -> None:
    """Ends an attempt: completed or failed. If a cancel was asked for meanwhile, the job is
    cancelled, whatever rclone reported. ``since``: when the previous figures arrived."""
    new = JobStatus.COMPLETED if ending.succeeded else JobStatus.FAILED
    figures = {"exit_code": ending.exit_code, **_last_figures(progress), **ending.found}
    outcome: dict[str, Any] = {"error": ending.reason, "error_lines": list(ending.error_lines)}
    if ending.plan is not None:
        outcome["plan"] = ending.plan
    _end(claim, new, figures | outcome, cancelled=figures, note=ending.reason or "", since=since)


def requeue(claim: Claim, progress: Progress | None, *, since: datetime | None = None) -> None:
    """Puts the job back into the queue, because the worker is being stopped. If a cancel was asked
    for, the job is cancelled."""
    figures = _last_figures(progress) | {"heartbeat_at": database_time()}
    nobody = {"worker": None, "worker_id": None}
    queued = {**figures, "queued_at": database_time(), **nobody, **standing_still()}
    note = "the worker was stopped"
    _end(claim, JobStatus.QUEUED, queued, cancelled=figures, note=note, since=since)


def mark_interrupted(
    claim: Claim, reason: str, progress: Progress | None, *, since: datetime | None = None
) -> None:
    """Marks a job whose lease expired, after the worker has ended rclone. ``reason`` is for a
    person."""
    figures = _last_figures(progress)
    lost = figures | {
        "interruptions": Job.interruptions + 1,
        "speed_bytes": 0,
        "eta_seconds": None,
        "error": reason,
    }
    _end(claim, JobStatus.INTERRUPTED, lost, cancelled=figures, note=reason, since=since)


def _end(
    claim: Claim,
    new: JobStatus,
    values: dict[str, Any],
    *,
    cancelled: dict[str, Any],
    note: str,
    since: datetime | None,
) -> None:
    """Moves a running job to ``new``, and one that is cancelling to cancelled."""
    with job_transaction(claim.job_id) as tx:
        old = JobStatus.RUNNING
        job = transition(
            tx,
            claim.job_id,
            old,
            new,
            of_attempt=claim.attempt,
            moved_since=since,
            note=note,
            **values,
        )
        if job is None:
            old = JobStatus.CANCELLING
            job = transition(
                tx,
                claim.job_id,
                old,
                JobStatus.CANCELLED,
                of_attempt=claim.attempt,
                moved_since=since,
                **cancelled,
            )
        if job is not None:
            tx.commit()
            publish.status_changed(job, old)


def _last_figures(progress: Progress | None) -> dict[str, Any]:
    return _figures(progress) | {"current_files": []} if progress else {}


def _figures(progress: Progress) -> dict[str, Any]:
    figures = {name: getattr(progress, name) for name in FIGURES}
    return figures | {"current_files": [asdict(file) for file in progress.current_files]}


def standing_still() -> dict[str, Any]:
    """Figures of a job that nobody works on. The figures of what was done so far stay, because a
    job's figures cover all its attempts."""
    return {
        "phase": None,
        "speed_bytes": 0,
        "eta_seconds": None,
        "current_files": [],
        "progress_at": None,
    }
