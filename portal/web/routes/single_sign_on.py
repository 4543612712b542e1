"""Sends people to the provider and takes them back: to sign in, or to link their account."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from portal.errors import Conflict, Forbidden, Invalid, TooMany
from portal.models import Role
from portal.presentation.formatting import duration
from portal.services.accounts import reauthentication, single_sign_on
from portal.services.accounts.oidc import AUTHORIZATION_SECONDS, AuthorizationRequest
from portal.services.runtime import runtime
from portal.web.access import actor, address, me, public, requires
from portal.web.forms.accounts import ConfirmForm
from portal.web.routes import sign_in_flow

blueprint = Blueprint("single_sign_on", __name__)

_AUTHORIZATION = "trip"
_LINKING = "linking"


@blueprint.app_context_processor
def _name() -> dict[str, Any]:
    """Gives templates the label of the button; empty if there is no provider."""
    provider = single_sign_on.provider()
    return {"single_sign_on": provider.name if provider else ""}


@blueprint.before_request
def _only_where_set_up() -> Response | None:
    if single_sign_on.provider() is not None:
        return None
    flash("Single sign-on is not set up.")
    signed_in = current_user.is_authenticated
    return redirect(url_for("settings.show" if signed_in else "sessions.login"), 303)


# --- there and back -----------------------------------------------------------------------------


@blueprint.get("/sign-on")
@public
def start() -> Response:
    """A link, not a form: the content security policy allows no form to lead to another site."""
    linking = _may_link()
    if current_user.is_authenticated and not linking:
        return redirect(sign_in_flow.next_url())
    back = url_for("single_sign_on.callback", _external=True)
    there, authorization = single_sign_on.authorization_url(back)
    # The data is signed and only in the cookie of this browser, so nobody can make somebody else
    # continue their sign-in.
    data = {
        "trip": authorization,
        "next": sign_in_flow.next_url(),
        "link": me().id if linking else None,
    }
    session[_AUTHORIZATION] = runtime().keys.sign(_AUTHORIZATION, data)
    return redirect(there)


@blueprint.get("/sign-on/callback")
@public
def callback() -> Response:
    kept = runtime().keys.verify(
        _AUTHORIZATION, session.pop(_AUTHORIZATION, ""), seconds=AUTHORIZATION_SECONDS
    )
    if kept is None:
        raise Forbidden(
            "This sign-in was started in another browser, or too long ago. Start again."
        )
    authorization = AuthorizationRequest(*kept["trip"])
    if kept["link"] is not None:
        return _linked(kept["link"], authorization)
    arrived = single_sign_on.enter(authorization, request.args, address=address())
    entered = sign_in_flow.continue_sign_in(
        arrived.proof,
        remember=False,
        target=kept["next"],
        way="by single sign-on",
        second_step=arrived.second_step,
    )
    if entered is None:
        raise Forbidden("The sign-in was not completed. Start again from the sign-in page.")
    return entered


def _linked(user_id: int, authorization: AuthorizationRequest) -> Response:
    if not current_user.is_authenticated or me().id != user_id:
        raise Forbidden("You were signed out in the meantime. Sign in and start again.")
    single_sign_on.link(actor(), authorization, request.args)
    flash("You can now sign in with single sign-on.")
    return redirect(url_for("single_sign_on.show"), 303)


def _may_link() -> bool:
    mark = runtime().keys.verify(_LINKING, session.get(_LINKING, ""), seconds=AUTHORIZATION_SECONDS)
    return bool(mark and current_user.is_authenticated and mark["session"] == me().session_id)


# --- in the settings ----------------------------------------------------------------------------


@blueprint.get("/settings/sign-on")
@requires(Role.VIEWER)
def show() -> str:
    return _page(ConfirmForm(formdata=None))


@blueprint.post("/settings/sign-on/link")
@requires(Role.VIEWER)
def link() -> Response | tuple[str, int, dict[str, str]]:
    if not me().password_hash:
        raise Conflict("You have no password here, so the provider is your only way in.")
    form = ConfirmForm()
    if refused := _refused(form):
        return refused
    session[_LINKING] = runtime().keys.sign(_LINKING, {"session": me().session_id})
    return redirect(url_for("single_sign_on.show"), 303)


@blueprint.post("/settings/sign-on/unlink")
@requires(Role.VIEWER)
def unlink() -> Response | tuple[str, int, dict[str, str]]:
    form = ConfirmForm()
    if refused := _refused(form):
        return refused
    single_sign_on.unlink(actor())
    flash("You now sign in with your password only.")
    return redirect(url_for("single_sign_on.show"), 303)


def _refused(form: ConfirmForm) -> tuple[str, int, dict[str, str]] | None:
    """Shows the page again if the password is wrong; returns None if it is right."""
    try:
        if not form.validate():
            raise Invalid({})
        reauthentication.check_password(actor(), form.current_password.data or "")
    except TooMany as limited:
        wait = duration(limited.seconds)
        form.current_password.errors = [f"Too many attempts. Wait {wait} and try again."]
        return _page(form), limited.status, {"Retry-After": str(limited.seconds)}
    except Invalid as invalid:
        known = form.current_password.errors
        form.current_password.errors = [*known, *invalid.errors.values()]
        return _page(form), invalid.status, {}
    return None


def _page(form: ConfirmForm) -> str:
    identity = single_sign_on.identity_of(me())
    return render_template("sign_on.html", form=form, identity=identity, may_link=_may_link())
