from flask import (
    Blueprint,
    flash,
    jsonify,
    redirect,
    render_template,
    session,
    url_for,
)
from flask_login import current_user, logout_user
from werkzeug.wrappers import Response

from portal.db.clock import iso, now
from portal.errors import Forbidden, TooMany
from portal.models import Role, User
from portal.presentation.formatting import duration
from portal.realtime.cache import caches
from portal.services.accounts import sessions, sign_in
from portal.services.runtime import runtime
from portal.transfers.counted import counted
from portal.web.access import actor, address, background, me, public, requires, user_or_404
from portal.web.forms.accounts import SignInForm
from portal.web.routes import sign_in_flow

blueprint = Blueprint("sessions", __name__)


@blueprint.get("/login")
@public
def login() -> Response | str:
    if current_user.is_authenticated:
        return redirect(sign_in_flow.next_url())
    return _sign_in_page(SignInForm())


@blueprint.post("/login")
@public
def enter() -> Response | tuple[str, int] | tuple[str, int, dict[str, str]]:
    if not runtime().settings.password_sign_in:
        raise Forbidden("Use single sign-on. Password sign-in is turned off here.")
    form = SignInForm()
    if not form.validate():
        return _sign_in_page(form), 422
    try:
        proof = sign_in.prove(form.username.data or "", form.password.data or "", address=address())
    except TooMany as limited:
        page = _sign_in_page(form, wait=duration(limited.seconds))
        return page, limited.status, {"Retry-After": str(limited.seconds)}
    entered = None
    if proof is not None:
        entered = sign_in_flow.continue_sign_in(
            proof, remember=bool(form.remember.data), target=sign_in_flow.next_url()
        )
    if entered is None:
        return _sign_in_page(form, refused=True), 401
    return entered


@blueprint.post("/logout")
@requires(Role.VIEWER)
def logout() -> Response:
    sign_in.sign_out(actor())
    logout_user()
    session.clear()
    response = redirect(url_for("sessions.login"), 303)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@blueprint.get("/api/session")
@requires(Role.VIEWER)
@background
def who() -> Response:
    """A page asks this to tell "signed out" from "blocked"."""
    return jsonify(
        {
            "user": me().username,
            "role": me().role,
            "time": iso(now()),
            "state_version": str(caches().state_version),
        }
    )


# --- the list, one's own and for admins anyone's ------------------------------------------------


@blueprint.get("/sessions")
@requires(Role.VIEWER)
def mine() -> str:
    return _list(me())


@blueprint.post("/sessions/<id:session_id>/end")
@requires(Role.VIEWER)
def end_mine(session_id: int) -> Response:
    return _end(me(), session_id, url_for("sessions.mine"))


@blueprint.post("/sessions/end-others")
@requires(Role.VIEWER)
def end_my_others() -> Response:
    return _end_others(me(), url_for("sessions.mine"))


@blueprint.get("/users/<id:user_id>/sessions")
@requires(Role.ADMIN)
def of_user(user_id: int) -> str:
    return _list(user_or_404(user_id))


@blueprint.post("/users/<id:user_id>/sessions/<id:session_id>/end")
@requires(Role.ADMIN)
def end_of_user(user_id: int, session_id: int) -> Response:
    page = url_for("sessions.of_user", user_id=user_id)
    return _end(user_or_404(user_id), session_id, page)


@blueprint.post("/users/<id:user_id>/sessions/end-others")
@requires(Role.ADMIN)
def end_others_of_user(user_id: int) -> Response:
    return _end_others(user_or_404(user_id), url_for("sessions.of_user", user_id=user_id))


def _list(user: User) -> str:
    found = sessions.of_user(user.id)
    return render_template("sessions.html", user=user, sessions=found, here=me().session_id)


def _end(user: User, session_id: int, page: str) -> Response:
    sessions.end(user, session_id, actor=actor())
    flash("The session is signed out.")
    return redirect(page, 303)


def _end_others(user: User, page: str) -> Response:
    """Ends all sessions but the one that asks. Of another user it ends every one."""
    number = sessions.end_others(user, keep=me().session_id, actor=actor())
    flash(f"{counted(number, 'session')} signed out.")
    return redirect(page, 303)


def _sign_in_page(form: SignInForm, *, refused: bool = False, wait: str = "") -> str:
    days = runtime().settings.session_remembered_days
    form.remember.label.text = f"Stay signed in for {days:g} day{'' if days == 1 else 's'}"
    passwords = runtime().settings.password_sign_in
    return render_template("login.html", form=form, refused=refused, wait=wait, passwords=passwords)
