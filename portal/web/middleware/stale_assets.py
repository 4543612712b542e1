"""Serves assets to pages of another release: tabs stay open during an upgrade, and while processes
are replaced one by one, two releases serve at the same time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

#: Header of each response to HTMX. It tells a page that the server is newer than the page.
HEADER = "Portal-Release"

_ANY = re.compile(r"/static/[0-9a-f]{12}/")


class StaleAssetMiddleware:
    """Answers a request for an asset of another release with our asset of the same name, which must
    not be cached. ``prefix`` is the path prefix of our own assets."""

    def __init__(self, wsgi: WSGIApplication, prefix: str) -> None:
        self._wsgi = wsgi
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        found = _ANY.match(path)
        if found is None or found[0] == self._prefix:
            return self._wsgi(environ, start_response)
        environ["PATH_INFO"] = self._prefix + path[found.end() :]
        return self._wsgi(environ, _without_caching(start_response))


def _without_caching(start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        kept = [(name, value) for name, value in headers if name.lower() != "cache-control"]
        return start_response(status, [*kept, ("Cache-Control", "no-store")], *more)

    return start
