"""Creates and retries jobs."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.db.session import session, write
from portal.errors import Conflict, Invalid
from portal.models import Job, User
from portal.realtime import publish
from portal.services import audit
from portal.services.actor import Actor
from portal.services.jobs import blocking, idempotency, limits, places
from portal.services.jobs.idempotency import IdempotentRequest
from portal.services.jobs.places import JobPlaces, ends_of
from portal.services.jobs.transitions import (
    add_event,
    count,
    lock_job,
)
from portal.services.runtime import runtime
from portal.services.storage import remotes
from portal.transfers.options import from_json
from portal.transfers.request import Transfer
from portal.transfers.states import (
    RETRYABLE,
    JobStatus,
    Operation,
)

# --- acts ---------------------------------------------------------------------------------------


def create(transfer: Transfer, *, actor: Actor) -> Job:
    found = places.look_up(ends_of(transfer))
    places.refuse_one_place(ends_of(transfer), found)
    if missing := _missing_source(transfer):
        raise missing
    with write() as tx:
        job = insert(tx, transfer, actor, found=found)
    runtime().executor.look()
    return job


def create_once(
    transfer: Transfer, idempotent: IdempotentRequest, *, actor: Actor
) -> tuple[Job, bool]:
    """Returns the job of this request, and whether it was just created. Raises Invalid if the key
    belongs to another request."""
    found = places.look_up(ends_of(transfer))
    places.refuse_one_place(ends_of(transfer), found)
    missing = _missing_source(transfer)
    try:
        with write() as tx:
            job = idempotency.job_of(tx, actor.user, idempotent)
            if job is not None:
                # The source of that job may be gone by now, because a move has taken it away.
                return job, False
            if missing:
                raise missing
            job = insert(tx, transfer, actor, found=found, idempotent=idempotent)
    except IntegrityError:
        # PostgreSQL lets two requests with one key come this far; the second finds the job of the
        # first.
        with write() as tx:
            job = idempotency.job_of(tx, actor.user, idempotent)
        if job is None:
            raise
        return job, False
    runtime().executor.look()
    return job, True


def _missing_source(transfer: Transfer) -> Invalid | None:
    return places.missing_source(ends_of(transfer), runtime().settings)


def add_sample(transfer: Transfer, *, username: str) -> None:
    """Adds a job of a demonstration, queued before the executor starts."""
    owner = session.scalars(select(User).where(User.username == username)).one()
    found = places.look_up(ends_of(transfer))
    with write() as tx:
        insert(tx, transfer, Actor(owner), found=found)


def retry(old: Job, *, actor: Actor) -> Job:
    """Creates a new job that refers to the old one. A second click returns the job of the first
    click as long as that job is open."""
    transfer = transfer_of(old)
    if old.confirms_id is not None:
        # The confirmed plan may no longer be what would happen: it is shown and has to be confirmed
        # again.
        transfer = replace(transfer, dry_run=True)
    found = places.look_up(ends_of(transfer))
    with write() as tx:
        old = lock_job(tx, old.id)
        if old.status not in RETRYABLE:
            raise Conflict(f"A {old.status} job cannot be retried.")
        # Searched for while the old job is locked: if somebody clicks twice, the second click finds
        # the job of the first.
        job = tx.scalar(
            select(Job).where(Job.retry_of_id == old.id, Job.finished_at.is_(None)).limit(1)
        )
        if job is not None:
            return job
        transfer = replace(transfer, bandwidth_limit=old.bandwidth_limit)
        job = insert(tx, transfer, actor, found=found, retry_of=old.id)
    runtime().executor.look()
    return job


def transfer_of(job: Job) -> Transfer:
    """Returns the transfer that this job was created from."""
    return Transfer(
        name=job.name,
        operation=Operation(job.operation),
        source=job.source,
        destination=job.destination,
        bandwidth_limit=job.bandwidth_limit,
        dry_run=job.dry_run,
        options=from_json(job.options),
        source_remote_id=job.source_remote_id,
        destination_remote_id=job.destination_remote_id,
        pool=job.pool,
    )


def insert(
    tx: Session,
    transfer: Transfer,
    actor: Actor,
    *,
    found: JobPlaces,
    retry_of: int | None = None,
    confirms: Job | None = None,
    idempotent: IdempotentRequest | None = None,
) -> Job:
    """Inserts a queued job, commits and publishes it. ``found``: where the job writes;
    ``confirms``: the dry run whose plan it must keep. Raises Conflict if one of its remotes is gone
    or may no longer be used by this person, and TooManyJobs if they have too many open jobs."""
    limits.refuse_more_open(tx, actor.user.id)
    remotes.lock_usable(tx, (transfer.source_remote_id, transfer.destination_remote_id), actor)
    retried = retry_of or (confirms.retry_of_id if confirms else None)
    job = Job(
        name=transfer.name,
        operation=transfer.operation,
        source=transfer.source,
        destination=transfer.destination,
        bandwidth_limit=transfer.bandwidth_limit,
        dry_run=transfer.dry_run,
        options=transfer.options.to_json(),
        source_remote_id=transfer.source_remote_id,
        destination_remote_id=transfer.destination_remote_id,
        pool=transfer.pool,
        source_key=found.source,
        destination_key=found.destination,
        owner_id=actor.user.id,
        retry_of_id=retried,
        first_try_id=_first_try(tx, retried),
        confirms_id=confirms.id if confirms else None,
        plan=confirms.plan if confirms else None,
    )
    tx.add(job)
    tx.flush()
    job.first_try_id = job.first_try_id or job.id
    blocking.keep(tx, job.id, found)
    if idempotent is not None:
        idempotency.remember(tx, actor.user, idempotent, job)
    count(tx, {JobStatus.QUEUED: +1})
    note = f"retry of job {retry_of}" if retry_of else ""
    add_event(tx, job, None, actor=actor.name, note=note)
    audit.record(
        tx,
        "job.retry" if retry_of else "job.create",
        actor,
        target=f"job {job.id}",
        detail=f"{_act(job)} {job.source!r} to {job.destination!r}{_confirmation(job)}",
    )
    tx.commit()
    publish.created(job)
    return job


def _first_try(tx: Session, retried: int | None) -> int | None:
    earlier = select(func.coalesce(Job.first_try_id, Job.id)).where(Job.id == retried)
    return None if retried is None else tx.scalar(earlier)


def _act(job: Job) -> str:
    """Words for the audit log, where a dry run must not read like the real transfer."""
    return f"dry run of {job.operation}" if job.dry_run else str(job.operation)


def _confirmation(job: Job) -> str:
    """Words for the audit log: who started a job that deletes files, and what they had seen of
    it."""
    if job.dry_run or not Operation(job.operation).deletes:
        return ""
    if job.confirms_id is None:
        return "; started without a confirmed dry run"
    deletes = (job.plan or {}).get("deletes", 0)
    return f"; confirmed dry run {job.confirms_id}, which deletes {deletes} files"


# --- lists --------------------------------------------------------------------------------------


def unreadable_lines() -> int:
    """Returns how many lines of rclone's log could not be read, of all jobs."""
    found = select(func.sum(Job.unreadable_lines)).where(Job.unreadable_lines > 0)
    return session.scalar(found) or 0
