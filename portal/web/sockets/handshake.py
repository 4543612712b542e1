"""Stands before Socket.IO, in WSGI, where Flask's hooks never run.

An upgrade without a live session is answered 401, from a foreign page 403, and nothing stays
open: a socket that never finishes its handshake would hold a connection for ever.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from portal.services.accounts import principals
from portal.services.accounts.principals import Caller
from portal.web import origins
from portal.web.middleware.session_cookie import Cookies
from portal.web.security_headers import REFUSAL

log = structlog.get_logger(__name__)

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


#: Handshakes under way at a time. In a storm the others wait for their turn, so that pages, which
#: do not, are answered between them.
_AT_ONCE = 32


class Guard:
    """``sockets`` serves Socket.IO; ``wsgi`` everything else."""

    def __init__(
        self, cookies: Cookies, *, sockets: WSGI, wsgi: WSGI, sockets_per_user: int
    ) -> None:
        self._cookies = cookies
        self._sockets = sockets
        self._wsgi = wsgi
        self._limit = sockets_per_user
        self._open: Counter[int] = Counter()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith("/socket.io"):
            return self._wsgi(environ, start_response)
        if "portal.seen" in environ:  # and it has had its turn
            return self._handshake(environ, start_response)
        with self._turns:
            return self._handshake(environ, start_response)

    def look_ahead(self, environs: Sequence[dict[str, Any]]) -> None:
        """Looks up whose requests these are, in one query, before each is asked by itself."""
        tokens = [self._cookies.token(environ) for environ in environs]
        try:
            found = principals.callers(token for token in tokens if token is not None)
        except SQLAlchemyError:
            return  # each finds out, and is told
        for token, environ in zip(tokens, environs, strict=True):
            environ["portal.seen"] = found.get(token) if token is not None else None

    def _handshake(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if not origins.is_same(environ):
            log.warning("socket refused: foreign origin", origin=environ["HTTP_ORIGIN"])
            return _no(403, "This origin may not connect.")(environ, start_response)
        try:
            caller = self._caller(environ)
        except SQLAlchemyError:
            log.exception("socket refused: the session could not be read")
            refusal = _no(503, "Try again soon.")
            refusal.headers["Retry-After"] = "2"
            return refusal(environ, start_response)
        if caller is None:
            return _no(401, "Sign in first.")(environ, start_response)
        if self._open[caller.user_id] >= self._limit:
            return _no(429, "Too many live connections of this user.")(environ, start_response)
        environ["portal.caller"] = caller
        return self._admit(caller.user_id, environ, start_response)

    def _caller(self, environ: dict[str, Any]) -> Caller | None:
        if "portal.seen" in environ:
            seen: Caller | None = environ["portal.seen"]
            return principals.same_caller(seen) if seen is not None else None
        token = self._cookies.token(environ)
        return principals.caller(token) if token is not None else None

    def _admit(
        self, user: int, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        # Browsers always offer compression; one zlib stream a client costs more than it saves.
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        # Counted here, because a socket that never finishes its handshake is known to nobody else.
        self._open[user] += 1
        # Whoever takes the socket over takes this out, and calls it in the end. A list, because
        # what stands between hands on a copy of the environ.
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


def _no(status: int, reason: str) -> Response:
    return Response(f"{reason}\n", status, REFUSAL)
