"""Codes beside the password: asked for at sign-in, turned on and off in the settings."""

from __future__ import annotations

import io
from typing import Any

import segno
from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal.errors import Conflict, Invalid, TooMany
from portal.models import Role, User
from portal.presentation.formatting import duration
from portal.services.accounts import second_factor, shown_once
from portal.services.accounts.pending_sign_in import PendingSignIn
from portal.services.accounts.second_factor import Setup
from portal.services.actor import Actor
from portal.web.access import actor, address, me, public, requires, user_or_404
from portal.web.error_pages import is_htmx
from portal.web.forms.accounts import CodeForm, FactorForm
from portal.web.routes import sign_in_flow

blueprint = Blueprint("second_factor", __name__)

_CODES = "recovery_codes"
Answer = Response | str | tuple[str, int] | tuple[str, int, dict[str, str]]


# --- at sign-in ---------------------------------------------------------------------------------


@blueprint.get("/login/code")
@public
def ask() -> Answer:
    pending = sign_in_flow.pending()
    if pending is None:
        return _too_late()
    return render_template(
        "second_factor/ask.html", form=CodeForm(formdata=None), user=pending.user
    )


@blueprint.post("/login/code")
@public
def answer() -> Answer:
    pending = sign_in_flow.pending()
    if pending is None:
        return _too_late()
    form = CodeForm()
    try:
        _valid(form)
        kind = second_factor.check(Actor(pending.user, address()), form.code.data or "")
    except (Invalid, TooMany) as error:
        return _again("second_factor/ask.html", form, error, user=pending.user)
    entered = _finish(pending, kind, sign_in_flow.target())
    return _too_late() if entered is None else entered


@blueprint.get("/login/second-factor")
@public
def enrol() -> Answer:
    pending = sign_in_flow.pending()
    setup = _setup(pending.user) if pending else None
    if pending is None or setup is None:
        return _too_late()
    form = CodeForm(formdata=None)
    return render_template("second_factor/enrol.html", form=form, user=pending.user, setup=setup)


@blueprint.get("/login/second-factor/qr.svg")
@public
def enrol_picture() -> Response:
    pending = sign_in_flow.pending()
    if pending is None:
        raise Conflict("There is nothing to scan.")
    return _picture(pending.user)


@blueprint.post("/login/second-factor")
@public
def enrolled() -> Answer:
    pending = sign_in_flow.pending()
    setup = _setup(pending.user) if pending else None
    if pending is None or setup is None:
        return _too_late()
    form = CodeForm()
    try:
        _valid(form)
        codes = second_factor.enable(
            Actor(pending.user, address()), sign_in_flow.proposed(), form.code.data or "", None
        )
    except (Invalid, TooMany) as error:
        return _again("second_factor/enrol.html", form, error, user=pending.user, setup=setup)
    entered = _finish(pending, "by code", url_for("second_factor.show"))
    if entered is None:
        return _too_late()
    shown_once.keep(me(), _CODES, codes)
    return entered


def _finish(pending: PendingSignIn, kind: str, target: str) -> Response | None:
    way = " and ".join(part.removeprefix("by ") for part in (pending.way, kind) if part)
    return sign_in_flow.let_in(
        pending.proof, remember=pending.remember, target=target, way=f"by {way}", second_step=True
    )


def _too_late() -> Response:
    return redirect(url_for("sessions.login"), 303)


# --- in the settings ----------------------------------------------------------------------------


@blueprint.get("/settings/second-factor")
@requires(Role.VIEWER)
def show() -> str:
    codes = [] if is_htmx() else shown_once.take(me(), _CODES)
    return _page(FactorForm(formdata=None), codes=codes)


@blueprint.get("/settings/second-factor/qr.svg")
@requires(Role.VIEWER)
def picture() -> Response:
    return _picture(me())


@blueprint.post("/settings/second-factor/begin")
@requires(Role.VIEWER)
def begin() -> Response:
    sign_in_flow.propose(me())
    return redirect(url_for("second_factor.show"), 303)


@blueprint.post("/settings/second-factor/enable")
@requires(Role.VIEWER)
def enable() -> Answer:
    form = FactorForm()
    try:
        code, password = _code_and_password(form)
        codes = second_factor.enable(actor(), sign_in_flow.proposed(), code, password)
        shown_once.keep(me(), _CODES, codes)
        sign_in_flow.withdraw()
    except (Invalid, TooMany) as error:
        return _refused(form, error)
    flash("Your second factor is on. Your other sessions are signed out.")
    return redirect(url_for("second_factor.show"), 303)


@blueprint.post("/settings/second-factor/disable")
@requires(Role.VIEWER)
def disable() -> Answer:
    form = FactorForm()
    try:
        second_factor.disable(actor(), *_code_and_password(form))
    except (Invalid, TooMany) as error:
        return _refused(form, error)
    flash("Your second factor is off. Your other sessions are signed out.")
    return redirect(url_for("second_factor.show"), 303)


@blueprint.post("/settings/second-factor/codes")
@requires(Role.VIEWER)
def renew_codes() -> Answer:
    form = FactorForm()
    try:
        codes = second_factor.renew_codes(actor(), *_code_and_password(form))
        shown_once.keep(me(), _CODES, codes)
    except (Invalid, TooMany) as error:
        return _refused(form, error)
    return redirect(url_for("second_factor.show"), 303)


@blueprint.post("/users/<id:user_id>/reset-second-factor")
@requires(Role.ADMIN)
def reset(user_id: int) -> Response:
    user = second_factor.reset(user_or_404(user_id).id, actor=actor())
    flash(f"The second factor of {user.username} is removed. They are signed out everywhere.")
    return redirect(url_for("users.index"), 303)


# --- both ---------------------------------------------------------------------------------------


def _code_and_password(form: FactorForm) -> tuple[str, str]:
    if not me().password_hash:
        form.current_password.validators = []  # a person without a password cannot type one
    _valid(form)
    return form.code.data or "", form.current_password.data or ""


def _valid(form: Any) -> None:
    if not form.validate():
        raise Invalid({})


def _page(form: FactorForm, codes: list[str]) -> str:
    user = me()
    return render_template(
        "second_factor/page.html",
        form=form,
        codes=codes,
        state=second_factor.state(user),
        setup=_setup(user),
    )


def _refused(form: FactorForm, error: Invalid | TooMany) -> tuple[str, int, dict[str, str]]:
    headers = _explain(form, error)
    return _page(form, []), error.status, headers


def _again(
    template: str, form: CodeForm, error: Invalid | TooMany, **more: Any
) -> tuple[str, int, dict[str, str]]:
    headers = _explain(form, error)
    return render_template(template, form=form, **more), error.status, headers


def _explain(form: Any, error: Invalid | TooMany) -> dict[str, str]:
    """Shows the error beside its field. Returns the headers of the answer."""
    if isinstance(error, TooMany):
        form.code.errors = [f"Too many attempts. Wait {duration(error.seconds)} and try again."]
        return {"Retry-After": str(error.seconds)}
    for name, problem in error.errors.items():
        form[name].errors = [*form[name].errors, problem]
    return {}


def _setup(user: User) -> Setup | None:
    return second_factor.setup(user, sign_in_flow.proposed())


def _picture(user: User) -> Response:
    """Returns the QR code, while there is something to scan: it contains the secret."""
    setup = _setup(user)
    if setup is None:
        raise Conflict("There is nothing to scan.")
    drawn = io.BytesIO()
    segno.make_qr(setup.address, error="m").save(
        drawn, kind="svg", scale=5, border=4, dark="#000", light="#fff"
    )
    return Response(drawn.getvalue(), mimetype="image/svg+xml")
