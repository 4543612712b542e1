"""The jobs that have ended, newest first: pages, totals, and all of them as rows of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, or_, select, tuple_

from portal.db.session import session, write
from portal.models import LARGEST_BIG_ID, HistoryTotal, Job, Remote, Span, User
from portal.models.job import all_run_seconds
from portal.services import audit
from portal.services.actor import Actor
from portal.services.jobs import totals
from portal.services.jobs.totals import Total
from portal.transfers import compared, locations
from portal.transfers.states import JobStatus

#: Used as the id of a remote: both sides of the job are local.
LOCAL = 0
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """The conditions of a search; None is none. ``until`` is the first moment after."""

    since: datetime | None = None
    until: datetime | None = None
    owner_id: int | None = None
    remote_id: int | None = None
    status: JobStatus | None = None
    #: Only checks that found differences.
    is_different: bool = False


@dataclass(frozen=True, slots=True)
class EndedJobsPage:
    """``newer``: the next newer page ends after this job; ``older``: the next older one begins
    below it. None if there is no such page."""

    jobs: list[Job]
    newer: int | None
    older: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """A value to filter by."""

    id: int
    name: str
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One job as a row of a file."""

    id: int
    name: str
    operation: str
    dry_run: bool
    source: str
    destination: str
    status: str
    owner: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime
    seconds: int | None
    bytes_moved: int
    files: int
    error: str
    links_left_out: int
    specials_left_out: int
    outcome: str
    files_unchanged: int
    files_deleted: int
    compared_by: str
    #: How many files differed; None if nothing was compared.
    files_different: int | None


# --- values of the filters ----------------------------------------------------------------------


def owners() -> list[Choice]:
    """Returns the users whose jobs have ended, by name."""
    found = select(HistoryTotal.owner_id).where(HistoryTotal.span == Span.MONTH)
    query = select(User.id, User.username).where(User.id.in_(found)).order_by(User.username)
    return [Choice(number, name) for number, name in session.execute(query)]


def remotes() -> list[Choice]:
    """Returns the remotes of jobs that have ended, by name. Deleted remotes come last."""
    ids: set[int] = set()
    for column in (HistoryTotal.source_remote_id, HistoryTotal.destination_remote_id):
        query = select(column).where(HistoryTotal.span == Span.MONTH, column != LOCAL).distinct()
        ids.update(session.scalars(query))
    names = dict(session.execute(select(Remote.id, Remote.name).where(Remote.id.in_(ids))).all())
    there = [Choice(number, name) for number, name in names.items()]
    gone = [Choice(number, _old_name(number), is_gone=True) for number in ids - names.keys()]
    return sorted([*there, *gone], key=lambda one: (one.is_gone, one.name, one.id))


def _old_name(remote_id: int) -> str:
    """Returns the name of a deleted remote, as its jobs still show it."""
    for side, remote in (
        (Job.source, Job.source_remote_id),
        (Job.destination, Job.destination_remote_id),
    ):
        text = session.scalar(select(side).where(remote == remote_id).limit(1))
        if text is not None:
            return locations.split(text)[0] or str(remote_id)
    return str(remote_id)


# --- pages and totals ---------------------------------------------------------------------------


def page(
    wanted: HistoryFilter, size: int, *, before: int | None = None, after: int | None = None
) -> EndedJobsPage:
    """Returns a page of the jobs that ended before the given one, or of those nearest after it.
    Without either it is the page of the newest. It is found by position in an index, so the last
    page costs as much as the first."""
    if after is not None:
        newer = _jobs(wanted, size + 1, after, newest_first=False)
        if len(newer) > size:
            shown = newer[:size][::-1]
            return EndedJobsPage(shown, shown[0].id, shown[-1].id)
        before = None  # fewer than a page are newer, so this is the first page
    jobs = _jobs(wanted, size + 1, before, newest_first=True)
    shown = jobs[:size]
    older = shown[-1].id if len(jobs) > size else None
    return EndedJobsPage(shown, shown[0].id if before is not None and shown else None, older)


def total(wanted: HistoryFilter) -> dict[str, Total]:
    """Returns totals by status, whatever status the filter names; see ``totals.by_ending``."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.owner_id is not None:
        conditions.append(HistoryTotal.owner_id == wanted.owner_id)
    source, destination = HistoryTotal.source_remote_id, HistoryTotal.destination_remote_id
    if wanted.remote_id == LOCAL:
        conditions += [source == LOCAL, destination == LOCAL]
    elif wanted.remote_id is not None:
        conditions.append(or_(source == wanted.remote_id, destination == wanted.remote_id))
    return totals.by_ending(wanted.since, wanted.until, conditions)


def _jobs(
    wanted: HistoryFilter, number: int, beyond: int | None, *, newest_first: bool
) -> list[Job]:
    key = _key(beyond) if beyond is not None else None
    if beyond is not None and key is None:
        return []
    found: list[Job] = []
    for condition in _conditions(wanted):
        query = _beyond(select(Job).where(condition), key, newest_first=newest_first)
        found += session.scalars(query.limit(number))
    found.sort(key=lambda job: (job.finished_at, job.id), reverse=newest_first)
    return found[:number]


def _key(job_id: int) -> tuple[datetime, int] | None:
    """Returns the position in the history of a job that has ended; None for any other."""
    if job_id > LARGEST_BIG_ID:
        return None
    ended = session.scalar(select(Job.finished_at).where(Job.id == job_id))
    return (ended, job_id) if ended is not None else None


def _beyond(
    query: Select[*tuple[Any, ...]], key: tuple[datetime, int] | None, *, newest_first: bool
) -> Select[*tuple[Any, ...]]:
    place = tuple_(Job.finished_at, Job.id)
    if newest_first:
        query = query.order_by(Job.finished_at.desc(), Job.id.desc())
        return query if key is None else query.where(place < key)
    query = query.order_by(Job.finished_at, Job.id)
    return query if key is None else query.where(place > key)


def _conditions(wanted: HistoryFilter) -> list[ColumnElement[bool]]:
    """Conditions that exclude each other, each served by one index; together they match the
    filter."""
    made: list[ColumnElement[bool]] = [Job.finished_at.is_not(None)]
    if wanted.since is not None:
        made.append(Job.finished_at >= wanted.since)
    if wanted.until is not None:
        made.append(Job.finished_at < wanted.until)
    if wanted.owner_id is not None:
        made.append(Job.owner_id == wanted.owner_id)
    if wanted.status is not None:
        made.append(Job.status == wanted.status)
    if wanted.is_different:
        made.append(Job.outcome == totals.DIFFERENT)
    source, destination = Job.source_remote_id, Job.destination_remote_id
    if wanted.remote_id == LOCAL:
        return [and_(*made, source.is_(None), destination.is_(None))]
    if wanted.remote_id is not None:
        only_to = [destination == wanted.remote_id, source.is_distinct_from(wanted.remote_id)]
        return [and_(*made, source == wanted.remote_id), and_(*made, *only_to)]
    return [and_(*made)]


# --- export -------------------------------------------------------------------------------------


def export(wanted: HistoryFilter, asked: str, *, actor: Actor) -> Iterator[list[HistoryLine]]:
    """Records the export (``asked``: the filter in words), then yields the matching jobs, newest
    first, a few at a time. Jobs that end meanwhile belong before the first row, so no job comes
    twice."""
    with write() as tx:
        audit.record(tx, "history.export", actor, target="csv", detail=asked)
        tx.commit()
    return _chunks(wanted)


def _chunks(wanted: HistoryFilter) -> Iterator[list[HistoryLine]]:
    key: tuple[datetime, int] | None = None
    try:
        while rows := _rows(wanted, key):
            session.rollback()  # no transaction is open while the reader takes its time
            yield [_line(row) for row in rows]
            key = (rows[-1].finished_at, rows[-1].id)
    finally:
        session.remove()  # the request that began this is over


def _rows(wanted: HistoryFilter, key: tuple[datetime, int] | None) -> list[Row[*tuple[Any, ...]]]:
    found: list[Row[*tuple[Any, ...]]] = []
    for condition in _conditions(wanted):
        # Columns, not objects: they take a fifth of the time, and none of them is kept.
        query = select(*_COLUMNS).join(User, User.id == Job.owner_id).where(condition)
        found += session.execute(_beyond(query, key, newest_first=True).limit(_CHUNK))
    found.sort(key=lambda row: (row.finished_at, row.id), reverse=True)
    return found[:_CHUNK]


_COLUMNS = (
    Job.id,
    Job.name,
    Job.operation,
    Job.dry_run,
    Job.source,
    Job.destination,
    Job.status,
    User.username,
    Job.created_at,
    Job.started_at,
    Job.heartbeat_at,
    Job.finished_at,
    Job.bytes_transferred,
    Job.files_transferred,
    Job.error,
    Job.earlier_seconds,
    Job.links_left_out,
    Job.specials_left_out,
    Job.outcome,
    Job.files_unchanged,
    Job.files_deleted,
    Job.differences,
    Job.compared_by,
)


def _line(row: Any) -> HistoryLine:
    return HistoryLine(
        id=row.id,
        name=row.name,
        operation=row.operation,
        dry_run=row.dry_run,
        source=row.source,
        destination=row.destination,
        status=row.status,
        owner=row.username,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        seconds=all_run_seconds(
            row.earlier_seconds, row.started_at, row.heartbeat_at, row.finished_at
        ),
        bytes_moved=row.bytes_transferred,
        files=row.files_transferred,
        error=row.error or "",
        links_left_out=row.links_left_out,
        specials_left_out=row.specials_left_out,
        outcome=row.outcome or "",
        files_unchanged=row.files_unchanged,
        files_deleted=row.files_deleted,
        compared_by=compared.in_short(row.compared_by) or "",
        files_different=_different(row),
    )


def _different(row: Any) -> int | None:
    if row.differences is None:
        return 0 if row.outcome else None
    return sum(int(kind["count"]) for kind in row.differences.values())
