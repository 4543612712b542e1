"""Serves assets to pages of another release: tabs stay open during an upgrade, and while processes
are replaced one by one, two releases serve at the same time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

#: Header of each response to HTMX. It tells a page that the server is newer than the page.
HEADER = "Portal-Release"

_UNCACHED = ("Cache-Control", "no-store")
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
        if found is None:
            return self._wsgi(environ, start_response)
        if found[0] == self._prefix:
            # Browsers keep it for ever, so none asks by its date whether it has changed.
            return self._wsgi(environ, _without("last-modified", start_response))
        environ["PATH_INFO"] = self._prefix + path[found.end() :]
        return self._wsgi(environ, _without("cache-control", start_response, _UNCACHED))


def _without(name: str, start_response: StartResponse, *others: tuple[str, str]) -> StartResponse:
    """``name``: in lower case, of the header that is left out; ``others`` are added."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        kept = [header for header in headers if header[0].lower() != name]
        return start_response(status, [*kept, *others], *more)

    return start
