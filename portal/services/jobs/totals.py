"""Sums over the jobs that have ended.

The cost of a sum grows with the months it covers, not with their jobs. Months have rows of their
own, and so have days and quarters of an hour. A period needs at most two months of days and two
days of quarters, at its ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from portal.db.session import add_to_rows, session
from portal.models import HistoryTotal, Job, Span
from portal.transfers.states import ENDINGS, JobStatus

#: No job ended before the first or will end after the second. Both are the start of a month.
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(9000, 1, 1, tzinfo=UTC)
#: Used as a status: a check that completed and found differences.
DIFFERENT = "different"
_FIGURES = ("jobs", "bytes_moved", "files", "seconds")


@dataclass(frozen=True, slots=True)
class Total:
    jobs: int = 0
    bytes_moved: int = 0
    files: int = 0
    seconds: int = 0

    def __add__(self, other: Total) -> Total:
        return Total(*(getattr(self, name) + getattr(other, name) for name in _FIGURES))


def add(tx: Session, job: Job) -> None:
    """Adds a job that has just ended, within the transaction that ended it."""
    _count(tx, job, DIFFERENT if job.outcome == DIFFERENT else job.status, 1)


def subtract(tx: Session, job: Job, status: JobStatus) -> None:
    """Subtracts a job that was added with this status and now gets another one; call ``add``
    after it. Every transaction that needs both locks the rows in this order."""
    _count(tx, job, status, -1)


def _count(tx: Session, job: Job, status: str, sign: int) -> None:
    if job.finished_at is None:
        raise ValueError("only what is over counts")
    figures = {
        "jobs": sign,
        "bytes_moved": sign * job.bytes_transferred,
        "files": sign * job.files_transferred,
        "seconds": sign * (job.seconds or 0),
    }
    row = {
        "status": status,
        "owner_id": job.owner_id,
        "source_remote_id": job.source_remote_id or 0,
        "destination_remote_id": job.destination_remote_id or 0,
    } | figures
    add_to_rows(
        tx,
        HistoryTotal,
        [row | {"span": span, "start": start_of(span, job.finished_at)} for span in Span],
    )


def by_ending(
    since: datetime | None, until: datetime | None, conditions: Sequence[ColumnElement[bool]]
) -> dict[str, Total]:
    """Returns totals of every ending, and of ``DIFFERENT``, whose jobs also count as
    completed. ``until`` is the first moment after; both moments must be the start of a quarter of
    an hour."""
    sums = (func.sum(getattr(HistoryTotal, name)) for name in _FIGURES)
    pieces = [
        and_(HistoryTotal.span == span, HistoryTotal.start >= first, HistoryTotal.start < following)
        for span, first, following in _pieces(since or _FIRST, until or _LAST)
    ]
    rows = session.execute(
        select(HistoryTotal.status, *sums)
        .where(or_(*pieces), *conditions)
        .group_by(HistoryTotal.status)
    )
    found: dict[str, Total] = dict.fromkeys((*ENDINGS, DIFFERENT), Total())
    found |= {status: Total(*map(int, figures)) for status, *figures in rows}
    found[JobStatus.COMPLETED] += found[DIFFERENT]
    return found


def start_of(span: Span, moment: datetime) -> datetime:
    """Returns the start of the span that contains the moment."""
    whole = moment.astimezone(UTC).replace(second=0, microsecond=0)
    if span is Span.QUARTER:
        return whole.replace(minute=whole.minute // 15 * 15)
    day = whole.replace(hour=0, minute=0)
    return day if span is Span.DAY else day.replace(day=1)


def _pieces(since: datetime, until: datetime) -> Iterator[tuple[Span, datetime, datetime]]:
    """Divides the period into as few spans as possible. Yields each kind of span with its first
    start and the first start after its last one."""
    since, until = (min(max(moment, _FIRST), _LAST) for moment in (since, until))
    for span in (Span.QUARTER, Span.DAY):
        larger = Span.DAY if span is Span.QUARTER else Span.MONTH
        first, last = _at_or_after(larger, since), start_of(larger, until)
        if first > last:  # no whole larger span lies between
            yield span, since, until
            return
        yield span, since, first
        yield span, last, until
        since, until = first, last
    yield Span.MONTH, since, until


def _at_or_after(span: Span, moment: datetime) -> datetime:
    """Returns the first start of such a span that is not before the moment."""
    start = start_of(span, moment)
    if start == moment:
        return start
    return start_of(span, start + timedelta(days=1 if span is Span.DAY else 31))
