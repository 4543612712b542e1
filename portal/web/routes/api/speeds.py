from __future__ import annotations

from pydantic import Field

from portal.models import Role
from portal.presentation.charts import Period
from portal.services.jobs import speeds, statistics
from portal.web.access import job_or_404
from portal.web.routes.api.operations import operation
from portal.web.routes.api.shapes import Query, ResponseBody, Timestamp


class Speed(ResponseBody):
    """The speed of a job over time."""

    attempt: int | None = Field(description="The attempt that was measured; null if none was.")
    started_at: Timestamp | None = Field(description="When the attempt and the first point begin.")
    step: int = Field(
        description="Seconds of a point. It grows, so that there are at most 300 points."
    )
    points: list[int | None] = Field(
        description="Average of each step in bytes a second; null where nothing was measured."
    )
    peak: int = Field(description="Bytes a second.")


class PeriodQuery(Query):
    period: Period = Field(Period.HOUR, description="The last hour or the last day.")


class Throughput(ResponseBody):
    """What all jobs moved together."""

    period: Period
    start: Timestamp = Field(description="When the first point begins.")
    step: int = Field(description="Seconds of a point.")
    points: list[int | None] = Field(
        description="Average of each step in bytes a second, oldest first. The last step is not"
        " over yet."
    )
    moved: int = Field(description="Bytes in all.")


@operation(
    "GET",
    "/jobs/<big_id:job_id>/speed",
    right=Role.VIEWER,
    shape=Speed,
    answers={200: "The last attempt. While it runs, the curve is up to ten seconds behind."},
)
def get_job_speed(job_id: int) -> Speed:
    """Get the speed of one job over time"""
    measured = speeds.of(job_or_404(job_id))
    if measured is None:
        return Speed(attempt=None, started_at=None, step=1, points=[], peak=0)
    return Speed.model_validate(measured)


@operation(
    "GET",
    "/statistics/throughput",
    right=Role.VIEWER,
    query=PeriodQuery,
    shape=Throughput,
    answers={200: "60 points of one minute, or 288 of five minutes."},
)
def get_throughput(query: PeriodQuery) -> Throughput:
    """Get the throughput of the last hour or day"""
    throughput = statistics.throughput(query.period)
    return Throughput(
        period=throughput.period,
        start=throughput.start,
        step=throughput.step,
        points=list(throughput.points),
        moved=throughput.moved,
    )
