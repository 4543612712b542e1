from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from portal.access import address, me, requires
from portal.clock import now
from portal.errors import Invalid
from portal.models import Role
from portal.routes import export
from portal.routes.paging import page_number
from portal.services import audit
from portal.services.audit import Filter

blueprint = Blueprint("audit", __name__, url_prefix="/audit")

_PAGE_SIZE = 50
_FIELDS = ("who", "action", "outcome", "from", "to")
_OUTCOMES = ("ok", "refused")
_LONGEST = 128


@blueprint.get("")
@requires(Role.ADMIN)
def index() -> str | tuple[str, int]:
    typed = _typed(request.args)
    try:
        wanted = _filter(typed)
    except Invalid as invalid:
        return _page(typed, errors=invalid.errors), 422
    number = page_number()
    entries, total = audit.page(wanted, number, _PAGE_SIZE)
    pages = max(1, -(-total // _PAGE_SIZE))
    return _page(typed, entries=entries, number=number, pages_count=pages, total=total)


@blueprint.post("/export")
@requires(Role.ADMIN)
def download() -> Response:
    """A POST, for it is noted: no link of another site can fill the log."""
    form = request.form.get("format", "")
    if form not in ("csv", "jsonl"):
        raise Invalid({"format": "Choose csv or jsonl."})
    chunks = audit.export(_filter(_typed(request.form)), actor=me(), form=form, address=address())
    body = (
        export.lines(chunks, export.as_csv, ",".join(export.COLUMNS) + "\r\n")
        if form == "csv"
        else export.lines(chunks, export.as_json)
    )
    kind = "text/csv" if form == "csv" else "application/jsonl"
    response = Response(body, content_type=f"{kind}; charset=utf-8")
    response.headers.set(
        "Content-Disposition", "attachment", filename=f"audit-{now():%Y-%m-%d}.{form}"
    )
    return response


def _page(typed: dict[str, str], errors: dict[str, str] | None = None, **found: Any) -> str:
    """Without ``found`` there is nothing to show: a filter that is wrong matches no entry."""
    return render_template(
        "audit.html",
        typed=typed,
        errors=errors or {},
        actions=audit.actions(),
        outcomes=_OUTCOMES,
        **found,
    )


def _typed(values: Mapping[str, str]) -> dict[str, str]:
    # No entry holds a NUL, and PostgreSQL would take it for an error.
    return {name: values.get(name, "").replace("\0", "").strip()[:_LONGEST] for name in _FIELDS}


def _filter(typed: dict[str, str]) -> Filter:
    """Days are those of the reader's time zone, both included. Raises Invalid."""
    errors: dict[str, str] = {}
    since = _midnight(typed, "from", 0, errors)
    until = _midnight(typed, "to", 1, errors)
    if since and until and since >= until:
        errors["to"] = "This day is before the first one."
    if errors:
        raise Invalid(errors)
    return Filter(typed["who"], typed["action"], typed["outcome"], since, until)


def _midnight(
    typed: dict[str, str], name: str, later: int, errors: dict[str, str]
) -> datetime | None:
    if not typed[name]:
        return None
    try:
        day = date.fromisoformat(typed[name]) + timedelta(days=later)
        # As UTC, since a database knows no moment before the year 1 or after 9999.
        return datetime.combine(day, time(), ZoneInfo(me().settings.timezone)).astimezone(_UTC)
    except (ValueError, OverflowError):
        errors[name] = "Write a day such as 2026-11-22."
        return None


_UTC = ZoneInfo("UTC")
