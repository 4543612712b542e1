"""Reads the token out of Flask's session cookie, for what stands before Flask.

The library does it, prepared once: Flask makes its reader anew, and derives its key anew, for every
request.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData, TimestampSigner
from werkzeug.http import parse_cookie


class _Signer(TimestampSigner):
    @cache  # noqa: B019 - there is one of these, and it lives as long as the process
    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        return super().derive_key(secret_key)


class Cookies:
    def __init__(self, app: Flask) -> None:
        interface = SecureCookieSessionInterface()
        reader: Any = interface.get_signing_serializer(app)
        reader.signer = _Signer
        self._reader, self._signer = reader, reader.make_signer(reader.salt)
        self._name = interface.get_cookie_name(app)
        self._life = int(app.permanent_session_lifetime.total_seconds())

    def token(self, environ: dict[str, Any]) -> str | None:
        """The token of the session; None without a cookie, or with one that nobody signed."""
        cookie = parse_cookie(environ.get("HTTP_COOKIE")).get(self._name)
        if not cookie:
            return None
        try:
            session = self._reader.load_payload(self._signer.unsign(cookie, max_age=self._life))
        except BadData:
            return None
        token = session.get("_user_id")
        return token if isinstance(token, str) else None
