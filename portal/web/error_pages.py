"""Gives all errors one shape: a page for browsers, a fragment for HTMX, JSON below ``/api/v1/``. A
request for a fragment never gets the sign-in page."""

from __future__ import annotations

from typing import Any

import structlog
from flask import (
    Flask,
    Response,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError

from portal.db.session import AWAY, has_no_room, session
from portal.errors import Forbidden, Invalid, PortalError, TooMany, Unavailable
from portal.web.access import API, SignedOut, note_refusal
from portal.web.extensions import login_manager
from portal.web.origins import OtherSite

log = structlog.get_logger(__name__)

_AWAY = "The database is not responding. Try again in a moment."
_NO_ROOM = (
    "Nothing can be saved right now: the database's disk seems to be full. "
    "Nothing was changed; try again once there is space."
)
#: Seconds after which a page that could not be built asks again by itself.
_RETRY_AFTER = 5
_TITLES = {
    400: "That request could not be understood",
    401: "You are signed out",
    403: "You do not have permission",
    404: "Page not found",
    405: "Not allowed here",
    409: "That is not possible now",
    413: "That is too large",
    415: "That is not JSON",
    422: "Check the form",
    429: "Please wait a moment",
    500: "Something went wrong here",
    503: "The portal is not available right now",
}
_MESSAGES = {
    400: "Go back, reload the page and try again.",
    403: "Your role does not allow this.",
    404: "The address may be mistyped, or what was there is gone.",
    405: "Go back to the page you came from.",
    413: "Send less at a time.",
    415: "Send the body as application/json.",
    500: "It has been logged, and nothing was changed halfway.",
}


def init_app(app: Flask) -> None:
    app.register_error_handler(SignedOut, _signed_out)
    app.register_error_handler(PortalError, _portal_error)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _http_error)
    for away in AWAY:
        app.register_error_handler(away, _database_away)
    app.register_error_handler(Exception, _fault)


def _signed_out(error: SignedOut) -> Response:
    if is_htmx() or request.path.startswith("/api/"):
        response = _answer(401, error.message)
        response.headers["HX-Redirect"] = url_for("sessions.login")
        if request.path.startswith(API):
            response.headers["WWW-Authenticate"] = 'Bearer realm="Transfer Portal"'
        return response
    asked_for = f"{request.script_root}{request.full_path}".rstrip("?")
    target = asked_for if request.method == "GET" else None
    return make_response(redirect(url_for("sessions.login", next=target)))


def _portal_error(error: PortalError) -> Response:
    if isinstance(error, Forbidden):
        note_refusal(error.reason, forged=isinstance(error, OtherSite))
    errors = error.errors if isinstance(error, Invalid) else {}
    response = _answer(error.status, error.message, errors)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.seconds)
    return response


def _stale_form(_error: CSRFError) -> Response:
    note_refusal("forged form", forged=True)
    return _answer(400, "This form has expired. Reload the page and send it again.")


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = _answer(status, _MESSAGES.get(status) or str(error.description or ""))
    if isinstance(error, InternalServerError):
        log.error("internal error", path=request.path)
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after", "location"):
            response.headers[name] = value
    return response


def _database_away(error: Exception) -> Response:
    log.error("the database does not answer", error=str(getattr(error, "orig", error)))
    session.rollback()
    # The user is in the database too, so this page is built without one.
    g._login_user = login_manager.anonymous_user()
    response = _portal_error(Unavailable(_NO_ROOM if has_no_room(error) else _AWAY))
    response.headers["Retry-After"] = str(_RETRY_AFTER)
    return response


def _fault(error: Exception) -> Response:
    log.error("unhandled error", path=request.path, method=request.method, exc_info=error)
    session.rollback()
    return _answer(500, _MESSAGES[500])


def _answer(status: int, message: str, errors: dict[str, str] | None = None) -> Response:
    """``errors``: what is wrong with each field, for programs. A page shows this beside the
    field."""
    title = _TITLES.get(status, "That did not work")
    if request.path.startswith(API):
        problem = {"status": status, "title": title, "detail": message}
        response = jsonify(problem | ({"errors": errors} if errors else {}))
        response.headers["Content-Type"] = "application/problem+json"
    else:
        template = "errors/fragment.html" if is_htmx() else "errors/page.html"
        response = make_response(render_template(template, **_words(status, title, message)))
    response.status_code = status
    return response


def _words(status: int, title: str, message: str) -> dict[str, Any]:
    by_itself = status == 503 and request.method == "GET"
    return {
        "status": status,
        "title": title,
        "message": message,
        "again_in": _RETRY_AFTER if by_itself else None,
        "form_page": _page_of_form(),
    }


def _page_of_form() -> str | None:
    """Returns the page of this site whose form was sent."""
    page = request.referrer or ""
    return page if request.method == "POST" and page.startswith(request.host_url) else None


def is_htmx() -> bool:
    return request.headers.get("HX-Request") == "true"
