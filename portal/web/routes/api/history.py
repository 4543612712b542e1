from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

from flask import request
from pydantic import Field

from portal.models import LARGEST_BIG_ID, Role
from portal.services.jobs import history
from portal.services.jobs.totals import DIFFERENT, Total
from portal.transfers.states import ENDINGS
from portal.web.access import me
from portal.web.routes.api.job_shapes import Job, shown
from portal.web.routes.api.operations import Answer, operation
from portal.web.routes.api.shapes import Query, ResponseBody
from portal.web.routes.history_filter import read

_DAY = "as 2026-11-22, in the time zone of your settings."


class HistoryQuery(Query):
    first_day: str = Field("", alias="from", max_length=32, description=f"The first day, {_DAY}")
    last_day: str = Field(
        "", alias="to", max_length=32, description=f"The last day, which is included, {_DAY}"
    )
    user: str = Field("", max_length=128, description="Name of the owner.")
    remote: str = Field(
        "",
        max_length=32,
        description="Id of a remote that is the source or the destination; `local` for jobs"
        " without a remote.",
    )
    status: Literal["", "completed", "failed", "cancelled", "interrupted", "different"] = Field(
        "",
        description="Only jobs that ended like this; `different`: completed checks that found"
        " differences; `interrupted`: a sync or move whose worker died.",
    )
    before: int | None = Field(
        None, ge=1, le=LARGEST_BIG_ID, description="`older` of the previous page."
    )
    per_page: int = Field(25, ge=1, le=100, description="Items in an answer.")


class HistoryTotals(ResponseBody):
    """Totals of all jobs that match, not only of this page."""

    jobs: int
    bytes_moved: int
    files: int = Field(description="Copied, moved or compared.")
    seconds: int


class HistoryPage(ResponseBody):
    items: list[Job]
    totals: dict[str, HistoryTotals] = Field(
        description="Totals of completed, failed, cancelled and interrupted jobs, whatever"
        " `status` is asked for; `different` counts checks that found differences, which are also"
        " completed."
    )
    older: int | None = Field(description="`before` of the next page; null on the last.")


@operation(
    "GET",
    "/history",
    right=Role.VIEWER,
    query=HistoryQuery,
    shape=HistoryPage,
    answers={200: "Jobs that ended, newest first."},
    answer_headers={"Link": "Path of the next page (RFC 8288), if there is one."},
)
def list_history(query: HistoryQuery) -> Answer:
    """List the jobs that ended

    With totals of all that matches. Any page costs the same, however far back it is.
    """
    typed = {
        "from": query.first_day.strip(),
        "to": query.last_day.strip(),
        "user": query.user.strip(),
        "remote": query.remote.strip(),
        "status": query.status,
    }
    wanted = read(typed, me().settings.timezone)
    found = history.page(wanted, query.per_page, before=query.before)
    sums = history.total(wanted)
    page = HistoryPage(
        items=[shown(job) for job in found.jobs],
        totals={status: _totals(sums[status]) for status in (*ENDINGS, DIFFERENT)},
        older=found.older,
    )
    return Answer(page, headers=_next(found.older))


def _totals(total: Total) -> HistoryTotals:
    return HistoryTotals.model_validate(total)


def _next(older: int | None) -> dict[str, str]:
    if older is None:
        return {}
    query = urlencode({**request.args, "before": older})
    return {"Link": f'<{request.script_root}{request.path}?{query}>; rel="next"'}
