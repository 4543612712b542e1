"""The steps that all ways to sign in share: the second step, the session, the page after it."""

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
    """Redirects to the second step if one is due; otherwise signs the user in. Returns None if the
    user may not sign in after all.

    ``way``: the way of signing in other than by password, in the words of the audit trail.
    ``second_step``: more than a password was proven.
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
    """Proposes a secret for an authenticator app. Only this browser carries it until a code proves
    it."""
    session[_PROPOSED] = second_factor.proposal(user)


def proposed() -> str:
    return str(session.get(_PROPOSED, ""))


def withdraw() -> None:
    session.pop(_PROPOSED, None)


def pending() -> PendingSignIn | None:
    return pending_sign_in.load(session.get(_PENDING, ""))


def target() -> str:
    """Returns the page that the sign-in was to lead to: a path of this site, checked when it was
    kept."""
    return session.get(_NEXT) or url_for("dashboard.index")


def is_own_path(target: str) -> bool:
    """Returns whether the text is a path of this site. Browsers drop control characters and read a
    backslash as a slash, so ``/\\t/evil.example`` would lead to another host."""
    return (
        target.startswith("/")
        and not target.startswith("//")
        and "\\" not in target
        and is_line(target)
    )


def next_url() -> str:
    """Returns the page that ``next`` names, if it is one of this site."""
    text = request.args.get("next", "")
    return text if is_own_path(text) else url_for("dashboard.index")
