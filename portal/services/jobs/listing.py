"""The lists of jobs and of their events that people read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from sqlalchemy import ColumnElement, func, or_, select

from portal.db.session import read_connection, session
from portal.models import Job, JobCount, JobEvent
from portal.services.jobs import scheduler
from portal.transfers.states import (
    ACTIVE,
    JobStatus,
)

PAGE_SIZE = 25


SEARCH_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Page:
    jobs: list[Job]
    number: int
    pages: int
    total: int


def search_words(text: str) -> str:
    """Returns the text to search for, without NUL: SQLite ends a text there, PostgreSQL refuses it,
    and no name or path of a job holds one."""
    return text.replace("\0", "").strip()[:SEARCH_LENGTH]


def listing(status: str | None, text: str, number: int, size: int = PAGE_SIZE) -> Page:
    """Returns one page of jobs: the running ones first, then the newest; or, of the queued ones
    alone, the order in which they will run."""
    condition = _condition(status, text)
    total = _total(status, text, condition)
    pages = max(1, -(-total // size))
    number = min(number, pages)
    query = select(Job).where(*condition).order_by(Job.id.desc())
    if status is None:
        # Two walks along an index instead of one sort of all jobs.
        active = list(session.scalars(query.where(Job.status.in_(ACTIVE))))
        skip = max(0, (number - 1) * size - len(active))
        room = min(size, number * size - len(active))
        shown = active[(number - 1) * size : number * size]
        rest = query.where(Job.status.not_in(ACTIVE)).offset(skip).limit(max(0, room))
        return Page(shown + list(session.scalars(rest)), number, pages, total)
    first = (number - 1) * size
    if status == JobStatus.QUEUED and not text:
        return Page(_queue(first, size), number, pages, total)
    return Page(list(session.scalars(query.offset(first).limit(size))), number, pages, total)


def _queue(first: int, size: int) -> list[Job]:
    """Returns a part of the queue in its order; at its end those that are in no order, because they
    are paused for example."""
    with read_connection() as connection:
        ordered = [job.job_id for job in islice(scheduler.in_order(connection, None), first + size)]
    shown = ordered[first:]
    found = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(shown)))}
    jobs = [found[job_id] for job_id in shown if job_id in found]
    if len(ordered) == first + size:
        return jobs
    others = select(Job).where(Job.status == JobStatus.QUEUED, Job.id.not_in(ordered))
    rest = others.order_by(Job.id).offset(max(0, first - len(ordered))).limit(size - len(jobs))
    return jobs + list(session.scalars(rest))


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
    """Returns the number of jobs of every status. It reads counters, so its cost does not grow with
    the history."""
    rows = session.execute(select(JobCount.status, JobCount.jobs))
    return dict.fromkeys(JobStatus, 0) | {JobStatus(status): jobs for status, jobs in rows}


def running() -> list[Job]:
    return list(session.scalars(select(Job).where(Job.status.in_(ACTIVE)).order_by(Job.id)))


def events_of(job_id: int) -> list[JobEvent]:
    return list(
        session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id))
    )


def events_page(job_id: int, number: int, size: int) -> tuple[list[JobEvent], int]:
    """Returns one page of events, oldest first, and how many events the job has in all."""
    condition = JobEvent.job_id == job_id
    total = session.scalar(select(func.count()).select_from(JobEvent).where(condition)) or 0
    query = select(JobEvent).where(condition).order_by(JobEvent.id)
    return list(session.scalars(query.limit(size).offset((number - 1) * size))), total


def latest_events(limit: int = 10) -> list[JobEvent]:
    return list(session.scalars(select(JobEvent).order_by(JobEvent.id.desc()).limit(limit)))
