from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from portal.db.clock import now
from portal.errors import Invalid
from portal.models import AuditEntry, Role
from portal.services import audit
from portal.services.audit import AuditFilter
from portal.web.access import actor, me, requires
from portal.web.rate_limits import RequestKind, limited_as
from portal.web.routes import export
from portal.web.routes.days import period
from portal.web.routes.paging import page_number

blueprint = Blueprint("audit", __name__, url_prefix="/audit")

_PAGE_SIZE = 50
_FIELDS = ("who", "action", "outcome", "from", "to")
_OUTCOMES = ("ok", "refused")
_MAX_LENGTH = 128
_COLUMNS = (
    "id",
    "at",
    "actor_id",
    "actor",
    "action",
    "target",
    "detail",
    "outcome",
    "address",
    "hash",
)


@blueprint.get("")
@requires(Role.ADMIN)
def index() -> str | tuple[str, int]:
    typed = _strip_all(request.args)
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
@limited_as(RequestKind.EXPORTS)
def download() -> Response:
    """A POST, because each download is recorded: a link on another site must not fill the log."""
    form = request.form.get("format", "")
    if form not in export.FORMS:
        raise Invalid({"format": "Choose csv or jsonl."})
    chunks = audit.export(_filter(_strip_all(request.form)), actor=actor(), form=form)
    return export.attachment(form, "audit", now().date(), _COLUMNS, _rows(chunks))


def _rows(chunks: Iterable[list[AuditEntry]]) -> Iterator[list[list[export.Value]]]:
    for entries in chunks:
        yield [
            [
                entry.at.isoformat(timespec="microseconds")
                if name == "at"
                else getattr(entry, name)
                for name in _COLUMNS
            ]
            for entry in entries
        ]


def _page(typed: dict[str, str], errors: dict[str, str] | None = None, **found: Any) -> str:
    """Without ``found`` there is nothing to show: an invalid filter matches no entry."""
    return render_template(
        "audit.html",
        typed=typed,
        errors=errors or {},
        actions=[(action, action) for action in audit.actions()],
        outcomes=[(outcome, outcome) for outcome in _OUTCOMES],
        **found,
    )


def _strip_all(values: Mapping[str, str]) -> dict[str, str]:
    # No entry contains a NUL, and PostgreSQL would report an error.
    return {name: values.get(name, "").replace("\0", "").strip()[:_MAX_LENGTH] for name in _FIELDS}


def _filter(typed: dict[str, str]) -> AuditFilter:
    """Raises Invalid."""
    errors: dict[str, str] = {}
    since, until = period(typed, me().settings.timezone, errors)
    if errors:
        raise Invalid(errors)
    return AuditFilter(typed["who"], typed["action"], typed["outcome"], since, until)
