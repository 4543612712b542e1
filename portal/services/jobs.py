"""What people ask of jobs: create, cancel, retry; and the lists they read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flask import current_app
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import live
from portal.clock import now
from portal.database import begin_write, session
from portal.errors import Conflict, Invalid
from portal.models import Job, JobCount, JobEvent, User
from portal.options import Options, restored
from portal.services import audit, idempotency, places, remotes
from portal.services.idempotency import Wish
from portal.services.places import Places, ends_of
from portal.services.transitions import add_event, change, changing, count, held
from portal.states import ACTIVE, CANCELLABLE, FINAL, RETRYABLE, JobStatus, Operation

PAGE_SIZE = 25
SEARCH_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a person asked for, validated: absolute paths below a root, or ``name:path`` of the
    remote whose id stands beside it."""

    name: str
    operation: Operation
    source: str
    destination: str
    bandwidth_limit: str | None
    dry_run: bool
    options: Options = field(default_factory=Options)
    source_remote_id: int | None = None
    destination_remote_id: int | None = None
    #: Whose workers alone may run it; None for those of no special pool.
    pool: str | None = None


# --- acts ---------------------------------------------------------------------------------------


def create(transfer: Transfer, *, actor: User, address: str) -> Job:
    found = places.look_up(ends_of(transfer))
    places.refuse_one_place(ends_of(transfer), found)
    if missing := _missing_source(transfer):
        raise missing
    job = insert(begin_write(), transfer, actor, address, found=found)
    current_app.extensions["executor"].ring(job.id, job.pool)
    return job


def create_once(transfer: Transfer, wish: Wish, *, actor: User, address: str) -> tuple[Job, bool]:
    """The job of this wish, and whether it was made just now. Raises Invalid if the wish's key
    stands for another one."""
    found = places.look_up(ends_of(transfer))
    places.refuse_one_place(ends_of(transfer), found)
    missing = _missing_source(transfer)
    job = _wished(begin_write(), actor, wish)
    if job is not None:
        # Its source may be gone by now: a move has taken it away.
        return job, False
    if missing:
        session().rollback()
        raise missing
    try:
        job = insert(session(), transfer, actor, address, found=found, wish=wish)
    except IntegrityError:
        # PostgreSQL lets two requests with one key come this far; the later finds the earlier.
        job = _wished(begin_write(), actor, wish)
        if job is None:
            raise
        return job, False
    current_app.extensions["executor"].ring(job.id, job.pool)
    return job, True


def _missing_source(transfer: Transfer) -> Invalid | None:
    return places.missing_source(ends_of(transfer), current_app.extensions["settings"])


def _wished(writing: Session, actor: User, wish: Wish) -> Job | None:
    """Goes on with the write transaction only where there is no such job yet."""
    try:
        job = idempotency.job_of(writing, actor, wish)
    except Invalid:
        writing.rollback()
        raise
    if job is not None:
        writing.rollback()
    return job


def add_sample(transfer: Transfer, *, username: str) -> None:
    """A job of a demonstration, queued before the executor starts."""
    owner = session.scalars(select(User).where(User.username == username)).one()
    found = places.look_up(ends_of(transfer))
    insert(begin_write(), transfer, owner, address="", found=found)


def retry(old: Job, *, actor: User, address: str) -> Job:
    """A new job that points back. A second click finds the first click's job while that is open."""
    transfer = transfer_of(old)
    if old.confirms_id is not None:
        # What was confirmed is no longer what would happen: it is shown and asked for again.
        transfer = replace(transfer, dry_run=True)
    found = places.look_up(ends_of(transfer))
    writing = begin_write()
    old = held(writing, old.id)
    if old.status not in RETRYABLE:
        writing.rollback()
        raise Conflict(f"A {old.status} job cannot be retried.")
    # Looked for while the old one is held: of two clicks at once the second finds the first one's.
    job = writing.scalar(
        select(Job).where(Job.retry_of_id == old.id, Job.status.not_in(FINAL)).limit(1)
    )
    if job is not None:
        writing.rollback()
        return job
    transfer = replace(transfer, bandwidth_limit=old.bandwidth_limit)
    job = insert(writing, transfer, actor, address, found=found, retry_of=old.id)
    current_app.extensions["executor"].ring(job.id, job.pool)
    return job


def transfer_of(job: Job) -> Transfer:
    """What was asked for when this job was made."""
    return Transfer(
        name=job.name,
        operation=Operation(job.operation),
        source=job.source,
        destination=job.destination,
        bandwidth_limit=job.bandwidth_limit,
        dry_run=job.dry_run,
        options=restored(job.options),
        source_remote_id=job.source_remote_id,
        destination_remote_id=job.destination_remote_id,
        pool=job.pool,
    )


def cancel(job_id: int, *, actor: User, address: str) -> Job:
    """Queued: cancelled. Running: cancelling, until its worker saw rclone dead. Asked again:
    harmless. Completed or failed: Conflict, with the word for it."""
    with changing(job_id) as writing:
        job = held(writing, job_id)
        old = JobStatus(job.status)
        if old in (JobStatus.CANCELLING, JobStatus.CANCELLED):
            return job
        if old not in CANCELLABLE:
            raise Conflict(f"This job has already {old}.")
        new = JobStatus.CANCELLING if old is JobStatus.RUNNING else JobStatus.CANCELLED
        written = places.keys_of(writing.connection(), job_id)
        changed = change(
            writing,
            job_id,
            old,
            new,
            actor=actor.username,
            cancel_requested_at=now(),
            cancel_requested_by_id=actor.id,
        )
        assert changed is not None  # noqa: S101 - the row is held
        audit.record(writing, "job.cancel", actor=actor, target=f"job {job_id}", address=address)
        writing.commit()
        live.status_changed(changed, old)
    if new is JobStatus.CANCELLED:
        for one in places.freed(written):
            current_app.extensions["executor"].ring(one.job_id, one.pool)
    return changed


def insert(
    writing: Session,
    transfer: Transfer,
    actor: User,
    address: str,
    *,
    found: Places,
    retry_of: int | None = None,
    confirms: Job | None = None,
    wish: Wish | None = None,
) -> Job:
    """A queued job, committed and published. ``found``: where it writes; ``confirms``: the dry run
    whose plan it must keep.
    Raises Conflict if one of its remotes is gone, or not for this person any more."""
    try:
        remotes.hold(writing, (transfer.source_remote_id, transfer.destination_remote_id), actor)
    except Conflict:
        writing.rollback()
        raise
    job = Job(
        name=transfer.name,
        operation=transfer.operation,
        source=transfer.source,
        destination=transfer.destination,
        bandwidth_limit=transfer.bandwidth_limit,
        dry_run=transfer.dry_run,
        options=transfer.options.stored(),
        source_remote_id=transfer.source_remote_id,
        destination_remote_id=transfer.destination_remote_id,
        pool=transfer.pool,
        source_key=found.source,
        destination_key=found.destination,
        owner_id=actor.id,
        retry_of_id=retry_of or (confirms.retry_of_id if confirms else None),
        confirms_id=confirms.id if confirms else None,
        plan=confirms.plan if confirms else None,
    )
    writing.add(job)
    writing.flush()
    places.keep(writing, job.id, found)
    if wish is not None:
        idempotency.remember(writing, actor, wish, job)
    count(writing, JobStatus.QUEUED, +1)
    note = f"retry of job {retry_of}" if retry_of else ""
    add_event(writing, job, None, actor=actor.username, note=note)
    audit.record(
        writing,
        "job.retry" if retry_of else "job.create",
        actor=actor,
        target=f"job {job.id}",
        detail=f"{_act(job)} {job.source!r} to {job.destination!r}{_confirmation(job)}",
        address=address,
    )
    writing.commit()
    live.created(job)
    return job


def _act(job: Job) -> str:
    """For the audit log, where a dry run must not read like the deed."""
    return f"dry run of {job.operation}" if job.dry_run else str(job.operation)


def _confirmation(job: Job) -> str:
    """For the audit log: who started what deletes, and what they had seen of it."""
    if job.dry_run or not Operation(job.operation).deletes:
        return ""
    if job.confirms_id is None:
        return "; started without a confirmed dry run"
    deletes = (job.plan or {}).get("deletes", 0)
    return f"; confirmed dry run {job.confirms_id}, which deletes {deletes} files"


# --- lists --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    jobs: list[Job]
    number: int
    pages: int
    total: int


def search_words(text: str) -> str:
    """What is looked for: no text of ours holds a NUL, which SQLite takes for the end and
    PostgreSQL for an error."""
    return text.replace("\0", "").strip()[:SEARCH_LENGTH]


def listing(status: str | None, text: str, number: int, size: int = PAGE_SIZE) -> Page:
    """Jobs of one page: running ones on top of the first, then the newest first."""
    condition = _condition(status, text)
    total = _total(status, text, condition)
    pages = max(1, -(-total // size))
    number = min(number, pages)
    query = select(Job).where(*condition).order_by(Job.id.desc())
    if status is None:
        # Two walks along an index instead of one sort of everything.
        active = list(session.scalars(query.where(Job.status.in_(ACTIVE))))
        skip = max(0, (number - 1) * size - len(active))
        room = min(size, number * size - len(active))
        shown = active[(number - 1) * size : number * size]
        rest = query.where(Job.status.not_in(ACTIVE)).offset(skip).limit(max(0, room))
        return Page(shown + list(session.scalars(rest)), number, pages, total)
    rows = query.offset((number - 1) * size).limit(size)
    return Page(list(session.scalars(rows)), number, pages, total)


def _condition(status: str | None, text: str) -> list[ColumnElement[bool]]:
    condition: list[ColumnElement[bool]] = []
    if status is not None:
        wanted = ACTIVE if status == JobStatus.RUNNING else (JobStatus(status),)
        condition.append(Job.status.in_(wanted))
    if text:
        condition.append(
            or_(
                *(
                    column.icontains(text, autoescape=True)
                    for column in (Job.name, Job.source, Job.destination)
                )
            )
        )
    return condition


def _total(status: str | None, text: str, condition: list[ColumnElement[bool]]) -> int:
    if text:
        return session.scalar(select(func.count()).select_from(Job).where(*condition)) or 0
    numbers = counts()
    if status is None:
        return sum(numbers.values())
    if status == JobStatus.RUNNING:
        return sum(numbers[active] for active in ACTIVE)
    return numbers[JobStatus(status)]


def counts() -> dict[JobStatus, int]:
    """Jobs by status, every status present; read from the counters, whatever the history."""
    rows = session.execute(select(JobCount.status, JobCount.jobs))
    return dict.fromkeys(JobStatus, 0) | {JobStatus(status): jobs for status, jobs in rows}


def unreadable_lines() -> int:
    """Lines of rclone's log that could not be read, of all jobs."""
    found = select(func.sum(Job.unreadable_lines)).where(Job.unreadable_lines > 0)
    return session.scalar(found) or 0


def running() -> list[Job]:
    return list(session.scalars(select(Job).where(Job.status.in_(ACTIVE)).order_by(Job.id)))


def events_of(job_id: int) -> list[JobEvent]:
    return list(
        session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id))
    )


def events_page(job_id: int, number: int, size: int) -> tuple[list[JobEvent], int]:
    """Events of one page, oldest first, and how many the job has in all."""
    condition = JobEvent.job_id == job_id
    total = session.scalar(select(func.count()).select_from(JobEvent).where(condition)) or 0
    query = select(JobEvent).where(condition).order_by(JobEvent.id)
    return list(session.scalars(query.limit(size).offset((number - 1) * size))), total


def latest_events(limit: int = 10) -> list[JobEvent]:
    return list(session.scalars(select(JobEvent).order_by(JobEvent.id.desc()).limit(limit)))
