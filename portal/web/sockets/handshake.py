"""Authenticates live sockets in WSGI, before Socket.IO. Flask's hooks do not run there.

An upgrade without a live session gets 401, one from a page of another site 403, and no connection
stays open: a socket that never finishes its handshake would hold one for ever.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

import structlog
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from portal.db.session import log_failure
from portal.services import refusals
from portal.services.accounts import principals
from portal.services.accounts.principals import Principal
from portal.services.actor import Actor
from portal.web import origins
from portal.web.middleware.session_cookie import SessionCookieReader

log = structlog.get_logger(__name__)

#: Handshakes that run at the same time. When many clients connect, the others wait, and pages are
#: answered in between.
_CONCURRENT = 32


class HandshakeGuard:
    """``sockets`` serves Socket.IO, ``wsgi`` everything else.

    ``environ["portal.principal"]`` holds the person who is signed in, or None.
    """

    def __init__(
        self,
        cookies: SessionCookieReader,
        *,
        sockets: WSGIApplication,
        wsgi: WSGIApplication,
        sockets_per_user: int,
    ) -> None:
        self._cookies = cookies
        self._sockets = sockets
        self._wsgi = wsgi
        self._limit = sockets_per_user
        self._open: Counter[int] = Counter()
        self._turns = threading.BoundedSemaphore(_CONCURRENT)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith("/socket.io"):
            return self._wsgi(environ, start_response)
        if "portal.principal" in environ:  # it was looked up with its batch before it waited
            return self._handshake(environ, start_response)
        with self._turns:
            return self._handshake(environ, start_response)

    def authenticate_batch(self, environs: Sequence[dict[str, Any]]) -> None:
        """Looks up the principals of several handshakes in one query."""
        tokens = [self._cookies.token(environ) for environ in environs]
        try:
            found = principals.find_all(token for token in tokens if token is not None)
        except SQLAlchemyError:
            return  # each handshake looks it up again, and reports the error
        for token, environ in zip(tokens, environs, strict=True):
            environ["portal.principal"] = found.get(token) if token is not None else None

    def _handshake(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not origins.is_same(environ):
            sender = Actor(address=environ.get("REMOTE_ADDR", ""))
            refusals.note("other site", sender, origin=environ["HTTP_ORIGIN"][:200])
            return _refuse(403, "This origin may not connect.")(environ, start_response)
        try:
            principal = self._principal(environ)
        except SQLAlchemyError as error:
            log_failure(log, "socket refused: the session could not be read", error)
            refusal = _refuse(503, "Try again soon.")
            refusal.headers["Retry-After"] = "2"
            return refusal(environ, start_response)
        if principal is None:
            return _refuse(401, "Sign in first.")(environ, start_response)
        if self._open[principal.user_id] >= self._limit:
            return _refuse(429, "Too many live connections of this user.")(environ, start_response)
        environ["portal.principal"] = principal
        return self._admit(principal.user_id, environ, start_response)

    def _principal(self, environ: dict[str, Any]) -> Principal | None:
        if "portal.principal" in environ:
            known: Principal | None = environ["portal.principal"]
            return principals.revalidate(known) if known is not None else None
        token = self._cookies.token(environ)
        return principals.find(token) if token is not None else None

    def _admit(
        self, user: int, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        # Browsers always offer compression, but a zlib stream per client costs more than it saves.
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        # Counted here: nothing else knows a socket that never finishes its handshake.
        self._open[user] += 1
        # Whoever takes the socket over removes this callback and calls it when the socket closes.
        # It is in a list because the layers in between pass on a copy of the environ.
        ended = environ["portal.ended"] = [lambda: self._ended(user)]
        try:
            return self._sockets(environ, start_response)
        finally:
            if ended:
                ended.pop()()

    def _ended(self, user: int) -> None:
        self._open[user] -= 1
        if not self._open[user]:
            del self._open[user]


def _refuse(status: int, reason: str) -> Response:
    return Response(f"{reason}\n", status)
