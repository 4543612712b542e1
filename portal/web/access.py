"""Who may do what. Every view declares its right; a view that does not is closed to everyone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from flask import Flask, current_app, g, request
from flask import session as browser_session
from flask_login import current_user
from sqlalchemy.exc import SQLAlchemyError

from portal.db.session import session
from portal.errors import Forbidden, NotFound, PortalError
from portal.models import Job, Role, Scope, User
from portal.realtime.cache import caches
from portal.runtime.fair_turns import never
from portal.services import actor as actors
from portal.services import refusals
from portal.services.accounts import api_tokens, sessions
from portal.services.accounts.sign_in_limits import network
from portal.services.actor import Actor
from portal.web import rate_limits
from portal.web.extensions import csrf, login_manager
from portal.web.origins import SAFE
from portal.web.rate_limits import RequestKind

View = TypeVar("View", bound=Callable[..., Any])

_PUBLIC = "public"
#: The prefix of the API for programs, which send a token or the session cookie of a browser.
API = "/api/v1/"


class SignedOut(PortalError):
    """Nobody is signed in, or not any more."""

    status = 401

    def __init__(self, message: str = "You are signed out. Sign in to continue.") -> None:
        super().__init__(message)


def public(view: View) -> View:
    """Lets everyone use the view, signed in or not."""
    view.right = _PUBLIC  # type: ignore[attr-defined]
    return view


def requires(role: Role) -> Callable[[View], View]:
    """Lets only users whose role includes ``role`` use the view."""

    def declare(view: View) -> View:
        view.right = role  # type: ignore[attr-defined]
        return view

    return declare


def background(view: View) -> View:
    """Marks a view that pages ask on their own: that does not prove that a person is present."""
    view.background = True  # type: ignore[attr-defined]
    return view


def right_of(app: Flask, endpoint: str) -> Role | str | None:
    """Returns the declared right of an endpoint; None if it declares none."""
    return getattr(app.view_functions[endpoint], "right", None)


def init_app(app: Flask) -> None:
    login_manager.init_app(app)
    login_manager.session_protection = None  # the session's row decides, see live_session
    login_manager.user_loader(load_user)
    # CSRFProtect's own hook is not used, because it knows nothing of tokens.
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    app.before_request(_admit_program)
    app.before_request(_refuse_forgery)
    app.before_request(_refuse_excess)
    app.before_request(_enforce)
    app.after_request(_note_presence)


def load_user(token: str) -> User | None:
    """Returns the user whose session has this token, with ``session_id`` set."""
    row = sessions.live_session(token)
    if row is None:
        return None
    user = row.user
    user.session_id, user.token = row.id, token
    return user


def me() -> User:
    """The signed-in user of this request."""
    user: User = current_user._get_current_object()
    return user


def address() -> str:
    return request.remote_addr or ""


def actor() -> Actor:
    """Returns the actor of whatever this request does."""
    return Actor(me(), address(), is_gone=request.environ.get("portal.is_gone", never))


def job_or_404(job_id: int, *, to_change: bool = False) -> Job:
    """Returns the job, or answers 404. With ``to_change``, answers 403 unless it is the user's job
    or the user is an admin."""
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    if to_change and not may_change(job, me()):
        raise Forbidden("Only its owner or an admin can do this.")
    return job


def may_change(job: Job, user: User) -> bool:
    return actors.may_change(user.id, user.effective_role, job.owner_id)


def user_or_404(user_id: int) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def note_refusal(reason: str, *, forged: bool = False) -> None:
    """Notes that this request is refused. ``forged``: by what its browser was made to send; another
    site must write nothing into the audit log."""
    with suppress(SQLAlchemyError):  # the database may be away; then nobody is known
        account = me() if current_user.is_authenticated else None
        refusals.note(reason, Actor(account, address()), target=_asked_for(), into_audit=not forged)


def _asked_for() -> str:
    # The address of a one-time link is a secret.
    rule = request.url_rule
    secret = rule is not None and "token" in rule.arguments
    return f"{request.method} {rule.rule if rule is not None and secret else request.path}"


def _admit_program() -> None:
    """Below /api/v1/ a token decides alone. A request with a token never uses a session, even if it
    also sends cookies and the token is invalid."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not request.path.startswith(API):
        return
    token = api_tokens.live_token(text.strip())
    if token is None:
        owner = api_tokens.owner_of(text.strip())
        refusals.note("unknown token", Actor(owner, address()), target=_asked_for())
        _charge_stranger()
        raise SignedOut("This token is unknown, has expired or was revoked.")
    user = token.user
    user.api_token_id, user.ceiling = token.id, Scope(token.scope).role
    g._login_user = user  # where Flask-Login keeps the user it has loaded


def _refuse_forgery() -> None:
    """A form of another site is sent with the browser's cookies, but it can send neither a CSRF
    token nor an API token of ours. A signed-out program is told that it is signed out, not that a
    form is too old."""
    if request.endpoint is None or (current_user.is_authenticated and me().api_token_id):
        return
    if request.path.startswith(API) and not current_user.is_authenticated:
        return  # _enforce refuses them: no endpoint below /api/v1/ is public
    csrf.protect()


def _refuse_excess() -> None:
    """Comes after the forgeries: another site must not use up what its victim may ask for."""
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "background", False) or getattr(view, "limited_as", "") is None:
        return
    if request.method not in SAFE and getattr(view, "right", None) == _PUBLIC:
        return  # signing in has limits of its own
    if not current_user.is_authenticated:
        _charge_stranger()
        return
    user, kind = me(), _kind_of(view)
    if user.api_token_id:
        key = f"token {user.api_token_id}"
    else:
        key = f"session {user.session_id}" if kind is RequestKind.REFRESHES else f"user {user.id}"
    rate_limits.charge(kind, key, shown=_is_of_api())


def _charge_stranger() -> None:
    rate_limits.charge(RequestKind.STRANGERS, network(address()), shown=_is_of_api())


def _kind_of(view: Callable[..., Any] | None) -> RequestKind:
    declared: RequestKind | None = getattr(view, "limited_as", None)
    if declared is not None:
        return declared
    if request.method not in SAFE:
        return RequestKind.CHANGES
    if _is_of_api():
        return RequestKind.API
    return (
        RequestKind.REFRESHES if request.headers.get("HX-Request") == "true" else RequestKind.PAGES
    )


def _is_of_api() -> bool:
    return request.path.startswith(API)


def _enforce() -> None:
    # Noted before the view reads. If a job changes meanwhile, the page notices it by this version.
    g.state_version = str(caches().state_version)
    if request.endpoint is None:
        return  # no such page; the error page says so
    right = right_of(current_app, request.endpoint)
    if right == _PUBLIC:
        return
    if not current_user.is_authenticated:
        raise SignedOut
    if right is None or not me().may(Role(right)):
        raise Forbidden(f"Your {'token' if me().ceiling else 'role'} does not allow this.")
    if me().api_token_id is None:
        view = current_app.view_functions[request.endpoint]
        g.present = not _is_automatic(view)


def _is_automatic(view: Callable[..., Any]) -> bool:
    """Returns whether the page sent the request and not a person: a poll, or a region that is
    fetched again after a reconnect. If those counted as visits, an open page would keep its session
    for ever."""
    redrawn = request.method == "GET" and request.headers.get("HX-Request") == "true"
    return redrawn or bool(getattr(view, "background", False))


def _note_presence(response: Any) -> Any:
    user = current_user
    if "present" in g and user.is_authenticated and response.status_code < 500:
        fresh = sessions.touch(user.session_id, user.token, person=g.present)
        if fresh is not None:
            browser_session["_user_id"] = fresh  # where Flask-Login keeps it
    return response
