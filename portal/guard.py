"""Stands before Socket.IO, in WSGI, where Flask's hooks never run.

An upgrade without a live session is answered 401, from a foreign page 403, and nothing stays
open: a socket that never finishes its handshake would hold a connection for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import structlog
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Request, Response

from portal import sockets
from portal.access import load_user
from portal.database import session

log = structlog.get_logger(__name__)

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Guard:
    def __init__(self, app: Flask, wsgi: WSGI, *, sockets_per_user: int) -> None:
        self._app = app
        self._wsgi = wsgi
        self._limit = sockets_per_user

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith("/socket.io"):
            return self._wsgi(environ, start_response)
        refusal = self._refusal(Request(environ))
        if refusal is not None:
            return refusal(environ, start_response)
        # Browsers always offer compression; one zlib stream a client costs more than it saves.
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        return self._wsgi(environ, start_response)

    def _refusal(self, request: Request) -> Response | None:
        if not _same_origin(request):
            log.warning("socket refused: foreign origin", origin=request.headers.get("Origin"))
            return Response("This origin may not connect.\n", 403)
        try:
            user = self._user(request)
        except SQLAlchemyError:
            log.exception("socket refused: the session could not be read")
            return Response("Try again soon.\n", 503, {"Retry-After": "2"})
        finally:
            session.remove()
        if user is None:
            return Response("Sign in first.\n", 401)
        if sockets.open_for(user) >= self._limit:
            return Response("Too many live connections of this user.\n", 429)
        return None

    def _user(self, request: Request) -> int | None:
        cookie = self._app.session_interface.open_session(
            self._app, self._app.request_class(request.environ)
        )
        token = str(cookie.get("_user_id", "")) if cookie else ""
        user = load_user(token) if token else None
        request.environ["portal.token"] = token  # ``connect`` looks the session up again
        return user.id if user else None


def _same_origin(request: Request) -> bool:
    """Browsers always send ``Origin`` with an upgrade; programs need not."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    parts = urlsplit(origin)
    return (parts.scheme, parts.netloc.lower()) == (request.scheme, request.host.lower())
