"""Reads the token from Flask's session cookie, for the middleware in front of Flask.

Flask builds its reader anew for each request and handles every kind of cookie. This reader handles
one cookie that the portal itself issued; the library decides about all others.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hmac import compare_digest
from hmac import digest as signature_of
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData
from werkzeug.http import parse_cookie


class SessionCookieReader:
    def __init__(self, app: Flask) -> None:
        interface = SecureCookieSessionInterface()
        reader: Any = interface.get_signing_serializer(app)
        self._reader = reader
        self._key = reader.make_signer(reader.salt).derive_key()
        self._name = interface.get_cookie_name(app)
        self._life = int(app.permanent_session_lifetime.total_seconds())
        # The signed part (a dot if it is compressed, payload, time) and the signature.
        self._ours = re.compile(
            rf"(?:^|; ){re.escape(self._name)}=((\.?)([\w-]+)\.([\w-]+))\.([\w-]+)(?:;|\Z)",
            re.ASCII,
        )

    def token(self, environ: dict[str, Any]) -> str | None:
        """Returns the token of the session. Returns None without a cookie, or if its signature is
        wrong."""
        header = environ.get("HTTP_COOKIE", "")
        found = self._ours.search(header)
        if found is not None and header.count(self._name) == 1 and self._is_valid(found):
            payload = _decode(found[3])
            session = json.loads(zlib.decompress(payload) if found[2] else payload)
        else:
            session = self._load_by_library(header)
        token = session.get("_user_id")
        return token if isinstance(token, str) else None

    def _is_valid(self, cookie: re.Match[str]) -> bool:
        signature = urlsafe_b64encode(signature_of(self._key, cookie[1].encode(), "sha1"))
        if not compare_digest(signature.rstrip(b"="), cookie[5].encode()):
            return False
        age = int(time.time()) - int.from_bytes(_decode(cookie[4]))
        return 0 <= age <= self._life

    def _load_by_library(self, header: str) -> dict[str, Any]:
        try:
            session: dict[str, Any] = self._reader.loads(
                parse_cookie(header).get(self._name, ""), max_age=self._life
            )
        except (BadData, UnicodeDecodeError):
            return {}
        return session


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")
