"""The dashboard's figures. They come from running totals, so their cost does not grow with the
history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.orm import aliased

from portal.db.clock import day_begins, now
from portal.db.session import session, write
from portal.models import ActivityMinute, Job
from portal.presentation.charts import Period, Throughput
from portal.services.jobs import listing
from portal.transfers.states import ACTIVE, JobStatus, Operation

_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Statistics:
    """``today`` begins at midnight in the reader's zone; speeds are bytes a second; ``recent``
    holds the average speed in each of the last ten minutes, oldest first."""

    counts: dict[JobStatus, int]
    completed_today: int
    failed_today: int
    moved_today: int
    speed_now: int
    recent: tuple[int, ...]

    @property
    def running(self) -> int:
        return sum(self.counts[status] for status in ACTIVE)


#: The length of each period in minutes, and the time between two points.
_SPANS = {
    Period.HOUR: (60, timedelta(minutes=1)),
    Period.DAY: (1440, timedelta(minutes=5)),
}
#: The shortest time, in seconds, over which the newest point is averaged.
_SHORTEST = 5.0


def gather(timezone: str) -> Statistics:
    moment = now()
    completed, failed, moved = session.execute(
        select(
            func.coalesce(func.sum(ActivityMinute.completed), 0),
            func.coalesce(func.sum(ActivityMinute.failed), 0),
            func.coalesce(func.sum(ActivityMinute.bytes_moved), 0),
        ).where(ActivityMinute.minute >= _midnight(timezone))
    ).one()
    speed = session.scalar(select(func.sum(Job.speed_bytes)).where(Job.status.in_(ACTIVE)))
    return Statistics(
        counts=listing.counts(),
        completed_today=int(completed),
        failed_today=int(failed),
        moved_today=int(moved),
        speed_now=int(speed or 0),
        recent=_recent(moment),
    )


def failed_today(timezone: str) -> int:
    """Returns how many jobs have failed since midnight in ``timezone``."""
    total = func.coalesce(func.sum(ActivityMinute.failed), 0)
    found = session.scalar(select(total).where(ActivityMinute.minute >= _midnight(timezone)))
    return int(found or 0)


def _midnight(timezone: str) -> datetime:
    return day_begins(now().astimezone(ZoneInfo(timezone)).date(), timezone)


def longest_wait() -> float:
    """Returns for how many seconds the oldest queued job has been waiting; 0 if there is none."""
    since = session.scalar(select(func.min(Job.queued_at)).where(Job.status == JobStatus.QUEUED))
    return max(0.0, (now() - since).total_seconds()) if since else 0.0


def to_retry() -> int:
    """Returns how many interrupted jobs wait for a person to retry or cancel them. If the retry was
    interrupted as well, a later retry of either settles it."""
    again = aliased(Job)
    retried = or_(again.retry_of_id == Job.id, again.retry_of_id == Job.retry_of_id)
    waits = (
        Job.status == JobStatus.INTERRUPTED,
        Job.operation.in_([operation for operation in Operation if operation.deletes]),
        ~exists().where(again.id > Job.id, retried),
    )
    return session.scalar(select(func.count()).select_from(Job).where(*waits)) or 0


def throughput(period: Period) -> Throughput:
    """Returns what all jobs together moved in the last hour or day."""
    moment = now().astimezone(UTC)
    minutes, step = _SPANS[period]
    hour = moment.replace(minute=0, second=0, microsecond=0)
    last = hour + (moment - hour) // step * step
    start = last - timedelta(minutes=minutes) + step
    moved = _moved_since(start)
    sums = [0] * (timedelta(minutes=minutes) // step)
    for minute, number in moved.items():
        if start <= minute < last + step:
            sums[(minute - start) // step] += number
    seconds = int(step.total_seconds())
    passed = (moment - last).total_seconds()
    # The last point is averaged over the time that has passed of its step; otherwise it would
    # always dip. Right after the start of a step that time is too short, and the point would jump:
    # hence the minimum.
    newest = int(sums[-1] / max(passed, _SHORTEST))
    points = (*(number // seconds for number in sums[:-1]), newest)
    return Throughput(period, start, seconds, points, sum(sums), moment)


def _recent(moment: datetime) -> tuple[int, ...]:
    last = moment.astimezone(UTC).replace(second=0, microsecond=0)
    first = last - timedelta(minutes=_MINUTES - 1)
    moved = _moved_since(first)
    minutes = [moved.get(first + timedelta(minutes=step), 0) for step in range(_MINUTES)]
    # The last minute is not over. It is averaged over the time that has passed of it; otherwise it
    # would always dip.
    passed = max(1.0, (moment - last).total_seconds())
    return (*(number // 60 for number in minutes[:-1]), int(minutes[-1] / passed))


def remove_old(days: int) -> int:
    """Removes minutes that are more than so many days old, which no figure reads any more. Returns
    how many. Each transaction removes one day, so that nobody waits for it long."""
    before, removed = now() - timedelta(days=days), 0
    while True:
        with write() as tx:
            oldest = tx.scalar(select(func.min(ActivityMinute.minute)))
            if oldest is None or oldest >= before:
                return removed
            until = min(before, oldest + timedelta(days=1))
            gone = tx.scalars(
                delete(ActivityMinute)
                .where(ActivityMinute.minute < until)
                .returning(ActivityMinute.minute),
                execution_options={"synchronize_session": False},
            ).all()
            tx.commit()
            removed += len(gone)


def _moved_since(first: datetime) -> dict[datetime, int]:
    """Returns the bytes of each minute in which any were moved."""
    columns = select(ActivityMinute.minute, ActivityMinute.bytes_moved)
    return dict(session.execute(columns.where(ActivityMinute.minute >= first)).all())
