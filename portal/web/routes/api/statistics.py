from __future__ import annotations

from pydantic import Field

from portal.models import Role
from portal.services.jobs import statistics
from portal.transfers.states import JobStatus
from portal.web.access import me
from portal.web.routes.api.operations import operation
from portal.web.routes.api.shapes import ResponseBody


class Statistics(ResponseBody):
    """The figures of the dashboard."""

    counts: dict[JobStatus, int] = Field(description="Jobs by status; every status is there.")
    running: int = Field(description="Jobs that are running or cancelling.")
    completed_today: int
    failed_today: int
    moved_today: int = Field(description="Bytes.")
    speed_now: int = Field(description="Bytes a second, of all running jobs.")
    recent: list[int] = Field(
        description="Bytes a second, on average of each of the last ten minutes, oldest first."
    )
    timezone: str = Field(description="Where today began at midnight: the user's time zone.")


@operation(
    "GET",
    "/statistics",
    right=Role.VIEWER,
    shape=Statistics,
    answers={200: "The figures as of now."},
)
def get_statistics() -> Statistics:
    """Get the figures of the dashboard"""
    zone = me().settings.timezone
    figures = statistics.gather(zone)
    return Statistics(
        counts=figures.counts,
        running=figures.running,
        completed_today=figures.completed_today,
        failed_today=figures.failed_today,
        moved_today=figures.moved_today,
        speed_now=figures.speed_now,
        recent=list(figures.recent),
        timezone=zone,
    )
