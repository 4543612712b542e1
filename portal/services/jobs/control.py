"""What people ask of a running job: pause it, resume it, change its speed, cancel it.

Each directive is a column of the job. The job's worker reads it at its next check.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import read_connection
from portal.errors import Conflict
from portal.models import Job
from portal.realtime import publish
from portal.services import audit
from portal.services.actor import Actor
from portal.services.jobs.transitions import (
    job_transaction,
    lock_job,
    transition,
    update_job,
)
from portal.services.runtime import runtime
from portal.transfers.scheduling import Priority
from portal.transfers.states import (
    CANCELLABLE,
    JobStatus,
    Operation,
    goes_on,
)


def pause(job_id: int, *, actor: Actor) -> Job:
    """Pauses a running job; pausing it again does no harm. Raises Conflict for any other job."""
    with _open(job_id) as (tx, job):
        if job.status != JobStatus.RUNNING:
            raise Conflict(f"Only a running job can be paused; this one is {job.status}.")
        if job.paused_at is not None:
            return job
        values = {"paused_at": now(), "speed_bytes": 0, "eta_seconds": None}
        return _change(tx, job, "job.pause", actor, "", **values)


def resume(job_id: int, *, actor: Actor) -> Job:
    """Resumes a paused job, even if it is back in the queue by now; a job that is not paused is
    left as it is. Raises Conflict for a job that has ended."""
    with _open(job_id) as (tx, job):
        _refuse_ended(job)
        if job.paused_at is None:
            return job
        resumed = _change(tx, job, "job.resume", actor, "", paused_at=None)
    runtime().executor.look()  # it may be back in the queue
    return resumed


def limit(job_id: int, bandwidth_limit: str | None, *, actor: Actor) -> Job:
    """Sets another bandwidth limit from now on: a validated rate or timetable, or None for no
    limit. Raises Conflict for a job that has ended."""
    with _open(job_id) as (tx, job):
        _refuse_ended(job)
        if job.bandwidth_limit == bandwidth_limit:
            return job
        detail = f"from {job.bandwidth_limit or 'none'} to {bandwidth_limit or 'none'}"
        values = {"bandwidth_limit": bandwidth_limit}
        return _change(tx, job, "job.limit", actor, detail, **values)


def prioritise(job_id: int, priority: Priority, *, actor: Actor) -> Job:
    """Sets the priority: of a job that waits, where it stands in the queue; of one that runs, where
    it stands if it has to run again. Raises Conflict for a job that has ended."""
    with _open(job_id) as (tx, job):
        _refuse_ended(job)
        if job.priority == priority:
            return job
        detail = f"from {Priority(job.priority).name.lower()} to {priority.name.lower()}"
        changed = _change(tx, job, "job.priority", actor, detail, priority=int(priority))
    runtime().executor.look()
    return changed


def _refuse_ended(job: Job) -> None:
    if job.status == JobStatus.CANCELLING or not goes_on(job.status, job.operation):
        raise Conflict(f"This job is already {job.status}.")


@contextmanager
def _open(job_id: int) -> Iterator[tuple[Session, Job]]:
    with job_transaction(job_id) as tx:
        yield tx, lock_job(tx, job_id)


def _change(tx: Session, job: Job, act: str, actor: Actor, detail: str, **values: Any) -> Job:
    changed = update_job(tx, job.id, JobStatus(job.status), **values)
    assert changed is not None  # noqa: S101 - the row is locked
    audit.record(tx, act, actor, target=f"job {job.id}", detail=detail)
    tx.commit()
    publish.changed(changed)
    return changed


def cancel(job_id: int, *, actor: Actor) -> Job:
    """A queued job becomes cancelled. A running one becomes cancelling until its worker has seen
    rclone dead. Cancelling again does no harm. Raises Conflict if the job has completed or
    failed."""
    with job_transaction(job_id) as tx:
        job = lock_job(tx, job_id)
        old = JobStatus(job.status)
        if old in (JobStatus.CANCELLING, JobStatus.CANCELLED):
            return job
        if old not in CANCELLABLE:
            raise Conflict(f"This job has already {old}.")
        return _cancel(tx, job, actor)


def _cancel(tx: Session, job: Job, actor: Actor) -> Job:
    old = JobStatus(job.status)
    new = JobStatus.CANCELLING if old is JobStatus.RUNNING else JobStatus.CANCELLED
    changed = transition(
        tx,
        job.id,
        old,
        new,
        actor=actor.name,
        cancel_requested_at=now(),
        cancel_requested_by_id=actor.account.id if actor.account else None,
    )
    assert changed is not None  # noqa: S101 - the row is locked
    audit.record(tx, "job.cancel", actor, target=f"job {job.id}")
    tx.commit()
    publish.status_changed(changed, old)
    if new is JobStatus.CANCELLED:
        runtime().executor.look()  # another job may have waited for this one
    return changed


def cancel_queued(*, everything: bool, actor: Actor) -> list[int]:
    """Cancels the queued jobs that would delete files, or ``everything`` that is queued. Returns
    their numbers. A job that begins meanwhile goes on."""
    query = select(Job.id).where(Job.status == JobStatus.QUEUED).order_by(Job.id)
    if not everything:
        deleting = [operation for operation in Operation if operation.deletes]
        query = query.where(Job.operation.in_(deleting), Job.dry_run.is_(False))
    with read_connection() as connection:
        ids = list(connection.scalars(query))
    return [job_id for job_id in ids if _cancel_if_queued(job_id, actor)]


def _cancel_if_queued(job_id: int, actor: Actor) -> bool:
    with _open(job_id) as (tx, job):
        queued = job.status == JobStatus.QUEUED
        if queued:
            _cancel(tx, job, actor)
    return queued
