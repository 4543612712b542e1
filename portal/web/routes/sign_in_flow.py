"""What the ways to sign in have in common: the second step, the session, the page after it."""

from __future__ import annotations

from flask import redirect, request, session, url_for
from flask_login import current_user, login_user
from werkzeug.wrappers import Response

from portal.models import User
from portal.services.accounts import pending_sign_in, second_factor, sign_in
from portal.services.accounts.pending_sign_in import PendingSignIn
from portal.services.accounts.sign_in import Proof
from portal.transfers.names import is_line
from portal.web.access import (
    address,
    load_user,
    me,
    user_or_404,
)

_PENDING = "pending_sign_in"
_NEXT = "next"
_PROPOSED = "proposed"


def continue_sign_in(
    proof: Proof, *, remember: bool, target: str, way: str = "", second_step: bool = False
) -> Response | None:
    """To the second step if one is due, else in. None if the user may not in after all.

    ``way``: other than by password, in the words of the audit trail; ``second_step``: it was more
    than a password.
    """
    user = user_or_404(proof.user_id)
    step = "" if second_step else second_factor.next_step_of(user)
    if not step:
        return let_in(proof, remember=remember, target=target, way=way, second_step=second_step)
    session.clear()
    if step == "enrol":
        propose(user)
    session[_PENDING] = pending_sign_in.issue(proof, remember=remember, way=way)
    session[_NEXT] = target
    page = "second_factor.ask" if step == "code" else "second_factor.enrol"
    return redirect(url_for(page), 303)


def let_in(
    proof: Proof, *, remember: bool, target: str, way: str, second_step: bool
) -> Response | None:
    token = sign_in.admit(
        proof,
        remember=remember,
        address=address(),
        user_agent=request.user_agent.string,
        replaces=me().session_id if current_user.is_authenticated else None,
        way=way,
        second_step=second_step,
    )
    user = load_user(token) if token else None
    if user is None:
        return None
    session.clear()  # nothing from before the sign-in survives it
    session.permanent = remember
    login_user(user)
    return redirect(target, 303)


def propose(user: User) -> None:
    """A secret for an app, which this browser alone carries until it is proven."""
    session[_PROPOSED] = second_factor.proposal(user)


def proposed() -> str:
    return str(session.get(_PROPOSED, ""))


def withdraw() -> None:
    session.pop(_PROPOSED, None)


def pending() -> PendingSignIn | None:
    return pending_sign_in.load(session.get(_PENDING, ""))


def target() -> str:
    """Where the sign-in was to lead to; an own path, checked when it was kept."""
    return session.get(_NEXT) or url_for("dashboard.index")


def is_own_path(target: str) -> bool:
    """A path of this site. Browsers drop control characters and read a backslash as a slash, so
    that ``/\\t/evil.example`` would lead to another host."""
    return (
        target.startswith("/")
        and not target.startswith("//")
        and "\\" not in target
        and is_line(target)
    )


def next_url() -> str:
    """The page that ``next`` asks for, if it is one of this site."""
    text = request.args.get("next", "")
    return text if is_own_path(text) else url_for("dashboard.index")
