"""Answers polls of pages before Flask, while the answer is still in memory.

Without a socket every open page asks again every two seconds, and nearly all get the same answer
that somebody got a moment ago. The sender's session is checked all the same. Flask handles
everything unusual: no session, a token, a row with buttons of its own, an answer that has to be
built anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from portal.models import Role
from portal.realtime.cache import caches
from portal.services.accounts import principals
from portal.services.accounts.principals import Principal
from portal.services.actor import may_change
from portal.web.access import right_of
from portal.web.middleware.session_cookie import SessionCookieReader

_STATISTICS = "/api/dashboard/stats"
_ROW = re.compile(r"/api/jobs/([1-9]\d{0,17})/progress")
#: One entity tag, as browsers send it back.
_TAG = re.compile(r'(?:W/)?"([^",*]+)"')


class PollCacheMiddleware:
    def __init__(
        self,
        app: Flask,
        cookies: SessionCookieReader,
        wsgi: WSGIApplication,
    ) -> None:
        for endpoint in ("dashboard.stats", "jobs.progress"):
            # Everybody who is signed in may see them. If that changes, this class must not bypass
            # the check.
            assert right_of(app, endpoint) is Role.VIEWER  # noqa: S101
        self._cookies = cookies
        self._wsgi = wsgi

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        found = self._found(environ)
        asked = _TAG.fullmatch(environ.get("HTTP_IF_NONE_MATCH", '""x'))
        if found is None or (asked is None and "HTTP_IF_NONE_MATCH" in environ):
            return self._wsgi(environ, start_response)
        html, tag = found
        fields = [("ETag", f'"{tag}"'), ("Vary", "Cookie")]
        if asked is not None and asked[1] == tag:
            start_response("304 NOT MODIFIED", fields)
            return []
        body = html.encode()
        fields += [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(body))),
        ]
        start_response("200 OK", fields)
        return [body]

    def _found(self, environ: dict[str, Any]) -> tuple[str, str] | None:
        """Returns the fragment and its tag."""
        path = environ.get("PATH_INFO", "")
        row = None if path == _STATISTICS else _ROW.fullmatch(path)
        if path != _STATISTICS and row is None:
            return None
        principal = self._principal(environ)
        if principal is None:
            return None
        base = environ.get("SCRIPT_NAME", "")
        if row is None:
            return caches().figures.peek((principal.timezone, base))
        kept = caches().rows.peek((int(row[1]), principal.timezone, base))
        # A row with buttons contains a form, whose token belongs to one session.
        if kept is None or may_change(principal.user_id, Role(principal.role), kept.owner_id):
            return None
        return kept.html, kept.tag

    def _principal(self, environ: dict[str, Any]) -> Principal | None:
        plain = environ["REQUEST_METHOD"] == "GET" and not environ.get("QUERY_STRING")
        if not plain or "HTTP_AUTHORIZATION" in environ:
            return None
        token = self._cookies.token(environ)
        try:
            principal = principals.cached(token) if token is not None else None
        except SQLAlchemyError:
            return None  # Flask meets the same error, and reports it
        return None if principal is None or principal.needs_write else principal
