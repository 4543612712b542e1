"""The dashboard's figures, from running totals: their cost does not grow with history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from portal.clock import now
from portal.database import session
from portal.models import ActivityMinute, Job
from portal.services import jobs
from portal.states import ACTIVE, JobStatus

_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Statistics:
    """``today`` begins at midnight in the reader's zone; speeds are bytes a second;
    ``recent`` holds the average speed in each of the last ten minutes, oldest first."""

    counts: dict[JobStatus, int]
    completed_today: int
    failed_today: int
    moved_today: int
    speed_now: int
    recent: tuple[int, ...]

    @property
    def running(self) -> int:
        return sum(self.counts[status] for status in ACTIVE)


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
        counts=jobs.counts(),
        completed_today=int(completed),
        failed_today=int(failed),
        moved_today=int(moved),
        speed_now=int(speed or 0),
        recent=_recent(moment),
    )


def failed_today(timezone: str) -> int:
    """Jobs that have failed since midnight in ``timezone``."""
    total = func.coalesce(func.sum(ActivityMinute.failed), 0)
    found = session.scalar(select(total).where(ActivityMinute.minute >= _midnight(timezone)))
    return int(found or 0)


def _midnight(timezone: str) -> datetime:
    here = now().astimezone(ZoneInfo(timezone))
    return here.replace(hour=0, minute=0, second=0, microsecond=0)


def longest_wait() -> float:
    """Seconds for which the oldest queued job has been waiting; 0 where none is."""
    since = session.scalar(select(func.min(Job.queued_at)).where(Job.status == JobStatus.QUEUED))
    return max(0.0, (now() - since).total_seconds()) if since else 0.0


def _recent(moment: datetime) -> tuple[int, ...]:
    last = moment.astimezone(UTC).replace(second=0, microsecond=0)
    first = last - timedelta(minutes=_MINUTES - 1)
    moved = dict(
        session.execute(
            select(ActivityMinute.minute, ActivityMinute.bytes_moved).where(
                ActivityMinute.minute >= first
            )
        ).all()
    )
    minutes = [moved.get(first + timedelta(minutes=step), 0) for step in range(_MINUTES)]
    # The last minute is not over: measured against what has passed of it, or it would always dip.
    passed = max(1.0, (moment - last).total_seconds())
    return (*(number // 60 for number in minutes[:-1]), int(minutes[-1] / passed))
