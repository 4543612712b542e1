"""Reads the token from Flask's session cookie, for the middleware in front of Flask."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData
from werkzeug.http import parse_cookie

#: Cookies whose content is kept in memory: more than one process has clients at a time.
_KEPT = 4096


class SessionCookieReader:
    """A client sends the same cookie with every request: its signature is checked once, and its age
    each time."""

    def __init__(self, app: Flask) -> None:
        interface = SecureCookieSessionInterface()
        serializer: Any = interface.get_signing_serializer(app)
        self._serializer = serializer
        self._name = interface.get_cookie_name(app)
        self._life = int(app.permanent_session_lifetime.total_seconds())
        # What is refused raises, so it takes no room here.
        self._content = lru_cache(_KEPT)(self._load)

    def token(self, environ: dict[str, Any]) -> str | None:
        """Returns the token of the session. Returns None without a cookie, or if its signature is
        wrong or too old."""
        try:
            cookie = parse_cookie(environ.get("HTTP_COOKIE", "")).get(self._name, "")
            token, signed_at = self._content(cookie)
        except (BadData, UnicodeDecodeError):
            return None
        return token if 0 <= int(time.time()) - signed_at <= self._life else None

    def _load(self, cookie: str) -> tuple[str | None, int]:
        """The token, and when it was signed, in seconds of the epoch."""
        session, signed_at = self._serializer.loads(cookie, return_timestamp=True)
        token = session.get("_user_id")
        return token if isinstance(token, str) else None, int(signed_at.timestamp())
