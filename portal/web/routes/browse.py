"""Browsing for a source or a destination: fragments of the dialog beside the fields of a job."""

from flask import Blueprint, render_template, request

from portal.errors import Invalid, TooMany
from portal.models import Role
from portal.services.runtime import runtime
from portal.services.storage import folders
from portal.services.storage.folders import Folder
from portal.services.storage.turns import AGAIN_AFTER
from portal.transfers.local_paths import Roots
from portal.web.access import actor, requires
from portal.web.rate_limits import RequestKind, limited_as
from portal.web.routes.paging import page_number

Answer = tuple[str, int, dict[str, str]]

blueprint = Blueprint("browse", __name__, url_prefix="/browse")

_MAX_LENGTH = 4200
_PANEL = "browse/_panel.html"


@blueprint.get("")
@requires(Role.OPERATOR)
@limited_as(RequestKind.STORAGES)
def show() -> Answer:
    """``?at=``: the address in the field; ``?q=``: part of a name; ``?page=``: the page of the
    folder; ``?side=``: which field it is for."""
    number = page_number()
    rows_alone = number > 1 or request.args.get("part") == "rows"
    text = request.args.get("q", "")[:200]
    folder = _look(request.args.get("at", ""), text, number, again=rows_alone)
    template = "browse/_rows.html" if rows_alone else _PANEL
    return _rendered(template, folder, 429 if folder.busy else 200, number)


@blueprint.post("/folders")
@requires(Role.OPERATOR)
@limited_as(RequestKind.STORAGES)
def create() -> Answer:
    at = request.form.get("at", "")[:_MAX_LENGTH]
    name = request.form.get("name", "")[:_MAX_LENGTH]
    try:
        made = folders.make(at, name, roots=_roots(), actor=actor())
    except Invalid as invalid:
        errors = invalid.errors
        return _rendered(_PANEL, _look(at), 422, name=name, problem=errors["name"])
    except TooMany as busy:
        # The folder is not looked into: that would take a turn too.
        folder = Folder(at, folders.steps_to(at, _roots()), problem=busy.message, busy=True)
        return _rendered(_PANEL, folder, 429)
    return _rendered(_PANEL, _look(made), 201)


def _look(at: str, text: str = "", number: int = 1, *, again: bool = False) -> Folder:
    return folders.look(
        at[:_MAX_LENGTH], roots=_roots(), actor=actor(), text=text, number=number, again=again
    )


def _roots() -> Roots:
    return runtime().roots


def _rendered(
    template: str, folder: Folder, status: int, number: int = 1, name: str = "", problem: str = ""
) -> Answer:
    side = "source" if request.values.get("side") == "source" else "destination"
    html = render_template(
        template,
        folder=folder,
        number=number,
        rows_alone=template != _PANEL,
        side=side,
        text=request.args.get("q", "")[:200],
        name=name,
        problem=problem,
    )
    return html, status, {"Retry-After": str(AGAIN_AFTER)} if status == 429 else {}
