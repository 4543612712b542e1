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

    attempt: int | None = Field(description="The one that was measured; null while none was.")
    started_at: Timestamp | None = Field(description="When it began, and the first point with it.")
    step: int = Field(description="Seconds of a point. It grows, so that there are 300 at most.")
    points: list[int | None] = Field(
        description="The average of each step in bytes a second; null where nothing was heard."
    )
    peak: int = Field(description="Bytes a second.")


class PeriodQuery(Query):
    period: Period = Field(Period.HOUR, description="How far back.")


class Throughput(ResponseBody):
    """What all jobs moved together."""

    period: Period
    start: Timestamp = Field(description="Of the first point.")
    step: int = Field(description="Seconds of a point.")
    points: list[int | None] = Field(
        description="The average of each step in bytes a second, oldest first. The last one is of"
        " what has passed of it."
    )
    moved: int = Field(description="Bytes in all.")


@operation(
    "GET",
    "/jobs/<big_id:job_id>/speed",
    right=Role.VIEWER,
    shape=Speed,
    answers={200: "Its last attempt. While that runs it is up to ten seconds behind."},
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
    answers={200: "Sixty points of a minute, or 288 of five minutes."},
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
