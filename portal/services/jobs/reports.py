"""Workers report here on the jobs that they have claimed: progress, trouble, the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, BigInteger, ColumnElement, Integer, cast, column, update, values
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import database_time
from portal.engine import FIGURES, Progress
from portal.models import Job
from portal.realtime import publish
from portal.services.jobs.claims import Claim, ClaimStatus, check_claims, standing_still
from portal.services.jobs.transitions import (
    add_activity,
    bytes_counted,
    job_transaction,
    split_by_minute,
    transition,
    update_job,
)
from portal.transfers.states import JobStatus

#: Figures that may be null.
_MAY_BE_UNKNOWN = [name for name in FIGURES if Job.__table__.c[name].nullable]


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
class ProgressReport:
    """Figures on their way to the database. ``since``: when the previous figures arrived."""

    claim: Claim
    progress: Progress
    since: datetime | None = None


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
