from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from portal.errors import Invalid
from portal.models import Job, JobLog, Role
from portal.services.jobs import log_reading
from portal.services.jobs.log_format import LEVELS, LogEntry
from portal.services.jobs.log_reading import Extract, Gap, Wanted
from portal.transfers.states import goes_on
from portal.web.access import background, job_or_404, requires
from portal.web.rate_limits import RequestKind, limited_as

blueprint = Blueprint("job_logs", __name__)

#: The levels that can be asked for, and their labels. Debug lines are missing: rclone is never
#: asked for them.
LEVEL_CHOICES = {"": "Everything", "notice": "Notices and worse", "error": "Errors"}
PAGE_LINES = 300
#: Lines a second when the end of a log is followed; somebody who wants them all opens the whole
#: log.
TAIL_LINES = 200
_LARGEST = 10**12


@blueprint.get("/jobs/<big_id:job_id>/log")
@requires(Role.VIEWER)
def show(job_id: int) -> str | tuple[str, int]:
    job = job_or_404(job_id)
    log = log_reading.about(job_id)
    typed = {name: request.args.get(name, "") for name in ("level", "q", "from")}
    try:
        wanted, first = _parse_search(), _line("from")
    except Invalid as invalid:
        return _page(job, log, typed, errors=invalid.errors), 422
    if log is None:
        return _page(job, log, typed)
    if not first:
        first = max(1, log.lines - PAGE_LINES + 1) if wanted.is_everything else 1
    extract = log_reading.read(log, first, wanted, PAGE_LINES)
    return _page(
        job,
        log,
        typed,
        extract=extract,
        first=first,
        wanted=wanted,
        size=PAGE_LINES,
        live=goes_on(job.status, job.operation) and not extract.more,
    )


@blueprint.get("/api/jobs/<big_id:job_id>/log")
@requires(Role.VIEWER)
@background
def tail(job_id: int) -> Response:
    """Returns the lines after line ``after``, or 204 if there are none. After the job has ended,
    the page does not ask again."""
    # The job is read before its log: if it is over, the log is complete.
    job = job_or_404(job_id)
    live = goes_on(job.status, job.operation)
    log = log_reading.about(job_id)
    wanted, after = _parse_search(), _line("after")
    if log is None or log.lines <= after:
        extract = Extract(through=after)
    else:
        extract = log_reading.newest(log, after, wanted, TAIL_LINES)
    if live and extract.through == after:
        return Response(status=204)
    return Response(
        render_template(
            "jobs/_log_tail.html",
            job=job,
            extract=extract,
            wanted=wanted,
            live=live,
            seen=after,
        ),
        content_type="text/html; charset=utf-8",
    )


@blueprint.get("/jobs/<big_id:job_id>/log/download")
@requires(Role.VIEWER)
@limited_as(RequestKind.EXPORTS)
def download(job_id: int) -> Response:
    job_or_404(job_id)
    response = Response(_text(job_id), content_type="text/plain; charset=utf-8")
    response.headers.set("Content-Disposition", "attachment", filename=f"job-{job_id}-log.txt")
    return response


def end_of(job: Job, most: int) -> dict[str, Any]:
    """Returns what a page needs to show the end of a log and to follow it."""
    live = goes_on(job.status, job.operation)
    log = log_reading.about(job.id)
    wanted = Wanted()
    extract = log_reading.newest(log, 0, wanted, most) if log else Extract()
    return {"log": log, "extract": extract, "wanted": wanted, "live": live}


def _parse_search() -> Wanted:
    level = request.args.get("level", "")
    if level not in LEVEL_CHOICES:
        raise Invalid({"level": "Choose one of these levels."})
    text = request.args.get("q", "").replace("\0", "").strip()[: log_reading.TEXT_LENGTH]
    return Wanted(level or LEVELS[0], text)


def _line(name: str) -> int:
    text = request.args.get(name, "").strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 14 and int(text) <= _LARGEST):
        raise Invalid({name: "Write the number of a line."})
    return int(text)


def _page(
    job: Job,
    log: JobLog | None,
    typed: dict[str, str],
    errors: dict[str, str] | None = None,
    **found: Any,
) -> str:
    return render_template(
        "jobs/log.html",
        job=job,
        log=log,
        typed=typed,
        errors=errors or {},
        levels=LEVEL_CHOICES,
        **found,
    )


def _text(job_id: int) -> Iterator[str]:
    for rows in log_reading.whole(job_id):
        yield "".join(_line_of(row) for row in rows)
        time.sleep(0)  # other threads of this process run meanwhile


def _line_of(row: LogEntry | Gap) -> str:
    if isinstance(row, Gap):
        return f"… {row.lines} lines were not kept\n"
    moment = row.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{moment} {row.level.upper():7} {row.words}\n"
