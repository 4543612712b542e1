from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal.db.clock import now
from portal.errors import Invalid
from portal.models import Role
from portal.services.accounts import api_tokens, shown_once
from portal.web.access import actor, me, requires
from portal.web.error_pages import is_htmx
from portal.web.forms.settings import TokenForm

blueprint = Blueprint("tokens", __name__, url_prefix="/tokens")

_KIND = "token"


@blueprint.get("")
@requires(Role.VIEWER)
def index() -> str:
    # A region that is fetched again shows no note: it would be lost.
    notes = [] if is_htmx() else shown_once.take(me(), _KIND)
    return _page(TokenForm(me(), formdata=None), notes)


@blueprint.post("")
@requires(Role.VIEWER)
def create() -> Response | tuple[str, int]:
    form = TokenForm(me())
    try:
        if not form.validate():
            raise Invalid({})
        token, text = api_tokens.create(
            form.name.data or "",
            form.scope.data,
            _end(form),
            actor=actor(),
        )
    except Invalid as invalid:
        for name, problem in invalid.errors.items():
            form.beside(name).errors = [*form.beside(name).errors, problem]
        return _page(form), 422
    shown_once.keep(me(), _KIND, [f"Token {token.name} (shown only now): {text}"])
    return redirect(url_for("tokens.index"), 303)


@blueprint.post("/<id:token_id>/end")
@requires(Role.VIEWER)
def end(token_id: int) -> Response:
    token = api_tokens.end(token_id, actor=actor())
    flash(f"The token {token.name} is revoked.")
    return redirect(url_for("tokens.index"), 303)


def _end(form: TokenForm) -> datetime:
    """Returns the end of the chosen day in the user's time zone."""
    if form.expires.data != form.ON_A_DAY:
        return now() + timedelta(days=int(form.expires.data))
    if form.day.data is None:
        raise Invalid({"expires": "Choose a date."})
    return datetime.combine(form.day.data, time(23, 59, 59), ZoneInfo(me().settings.timezone))


def _page(form: TokenForm, notes: Sequence[str] = ()) -> str:
    return render_template("tokens.html", form=form, tokens=api_tokens.all_of(me()), notes=notes)
