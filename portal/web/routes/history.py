from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from portal.db.clock import iso, now
from portal.errors import Invalid, NotFound
from portal.models import Role
from portal.presentation.formatting import mean_speed
from portal.services.jobs import history
from portal.services.jobs.history import HistoryLine
from portal.services.jobs.totals import DIFFERENT, Total
from portal.transfers.states import ENDINGS, JobStatus
from portal.web.access import actor, me, requires
from portal.web.rate_limits import RequestKind, limited_as
from portal.web.routes import export
from portal.web.routes.history_filter import FIELDS, LOCAL_ONLY, read

blueprint = Blueprint("history", __name__, url_prefix="/history")

_PAGE_SIZE = 50
_COLUMNS = (
    "id",
    "name",
    "operation",
    "dry_run",
    "source",
    "destination",
    "status",
    "owner",
    "created_at",
    "started_at",
    "finished_at",
    "seconds",
    "bytes",
    "files",
    "bytes_per_second",
    "error",
    "links_left_out",
    "specials_left_out",
    "outcome",
    "unchanged",
    "deleted",
    "different",
    "compared_by",
)
#: In the order of the page, which leaves out a rare one that no transfer has.
_CHIPS = (
    (JobStatus.COMPLETED, "Completed"),
    (DIFFERENT, "Different"),
    (JobStatus.FAILED, "Failed"),
    (JobStatus.CANCELLED, "Cancelled"),
    (JobStatus.INTERRUPTED, "Interrupted"),
)


@blueprint.get("")
@requires(Role.VIEWER)
def index() -> str | tuple[str, int]:
    typed = _strip_all(request.args)
    try:
        wanted = read(typed, me().settings.timezone)
    except Invalid as invalid:
        return _page(typed, errors=invalid.errors), 422
    sums = history.total(wanted)
    chosen = _chosen(sums, wanted)
    place = {name: _job_number(name) for name in ("before", "after")}
    found = history.page(wanted, _PAGE_SIZE, **place)
    return _page(typed, found=found, sums=sums, all_jobs=_all(sums).jobs, chosen=chosen)


@blueprint.post("/export")
@requires(Role.VIEWER)
@limited_as(RequestKind.EXPORTS)
def download() -> Response:
    """A POST, because each download is recorded: a link on another site must not fill the log."""
    typed = _strip_all(request.form)
    wanted = read(typed, me().settings.timezone)
    asked = ", ".join(f"{name} {value}" for name, value in typed.items() if value)
    chunks = history.export(wanted, asked, actor=actor())
    here = now().astimezone(ZoneInfo(me().settings.timezone)).date()
    return export.attachment("csv", "history", here, _COLUMNS, _rows(chunks))


def _rows(chunks: Iterable[list[HistoryLine]]) -> Iterator[list[list[export.Value]]]:
    for lines in chunks:
        yield [_values(line) for line in lines]


def _values(line: HistoryLine) -> list[export.Value]:
    return [
        line.id,
        line.name,
        line.operation,
        "yes" if line.dry_run else "no",
        line.source,
        line.destination,
        line.status,
        line.owner,
        iso(line.created_at),
        iso(line.started_at) if line.started_at else None,
        iso(line.finished_at),
        line.seconds,
        line.bytes_moved,
        line.files,
        mean_speed(line.bytes_moved, line.seconds),
        line.error,
        line.links_left_out,
        line.specials_left_out,
        line.outcome,
        line.files_unchanged,
        line.files_deleted,
        line.files_different,
        line.compared_by,
    ]


def _chosen(sums: dict[str, Total], wanted: history.HistoryFilter) -> Total:
    if wanted.is_different:
        return sums[DIFFERENT]
    if wanted.status is not None:
        return sums[wanted.status]
    return _all(sums)


def _all(sums: dict[str, Total]) -> Total:
    return reduce(add, (sums[status] for status in ENDINGS))


def _page(typed: dict[str, str], errors: dict[str, str] | None = None, **shown: Any) -> str:
    """Without ``shown`` there is nothing to show: an invalid filter matches no job."""
    return render_template(
        "history.html",
        typed=typed,
        errors=errors or {},
        people=[(one.name, one.name) for one in history.owners()],
        places=_places(),
        states=_CHIPS,
        **shown,
    )


def _places() -> list[tuple[str, str]]:
    there = [
        (str(one.id), f"{one.name} (deleted)" if one.is_gone else one.name)
        for one in history.remotes()
    ]
    return [(LOCAL_ONLY, "Local folders only"), *there]


def _strip_all(values: Mapping[str, str]) -> dict[str, str]:
    return {name: values.get(name, "").strip()[:128] for name in FIELDS}


def _job_number(name: str) -> int | None:
    text = request.args.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise NotFound("There is no such page of the history.")
    return int(text)
