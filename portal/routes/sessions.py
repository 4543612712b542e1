from flask import Blueprint, jsonify, redirect, render_template, request, session, url_for
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response

from portal.access import address, background, load_user, me, public, requires
from portal.clock import iso, now
from portal.forms import SignInForm
from portal.models import Role
from portal.services import accounts

blueprint = Blueprint("sessions", __name__)


@blueprint.get("/login")
@public
def login() -> Response | str:
    if current_user.is_authenticated:
        return redirect(_destination())
    return render_template("login.html", form=SignInForm())


@blueprint.post("/login")
@public
def sign_in() -> Response | tuple[str, int]:
    form = SignInForm()
    if not form.validate():
        return render_template("login.html", form=form), 422
    token = accounts.sign_in(
        form.username.data or "",
        form.password.data or "",
        remember=bool(form.remember.data),
        address=address(),
        user_agent=request.user_agent.string,
        replaces=me().session_id if current_user.is_authenticated else None,
    )
    user = load_user(token) if token else None
    if user is None:
        return render_template("login.html", form=form, refused=True), 401
    session.clear()  # nothing from before the sign-in survives it
    session.permanent = bool(form.remember.data)
    login_user(user)
    return redirect(_destination(), 303)


@blueprint.post("/logout")
@requires(Role.VIEWER)
def logout() -> Response:
    accounts.sign_out(me(), address=address())
    logout_user()
    session.clear()
    response = redirect(url_for("sessions.login"), 303)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@blueprint.get("/api/session")
@requires(Role.VIEWER)
@background
def who() -> Response:
    """By it a page tells "signed out" from "blocked"."""
    return jsonify({"user": me().username, "role": me().role, "time": iso(now())})


def _destination() -> str:
    target = request.args.get("next", "")
    return target if is_own_path(target) else url_for("dashboard.index")


def is_own_path(target: str) -> bool:
    """A path of this site. Browsers drop control characters and read a backslash as a slash, so
    that ``/\\t/evil.example`` would lead to another host."""
    return (
        target.startswith("/")
        and not target.startswith("//")
        and "\\" not in target
        and target.isprintable()
    )
