"""Tabs stay open through an upgrade, and processes roll: there may be two releases at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

Start = Callable[..., Any]
WSGI = Callable[[dict[str, Any], Start], Iterable[bytes]]

#: Of every answer to HTMX: by it a page learns that it is older than the server.
HEADER = "Portal-Release"

_ANY = re.compile(r"/static/[0-9a-f]{12}/")


class AnyRelease:
    """A page may ask a process of another release for its files: it gets those of the same names,
    and is told not to keep them. ``prefix`` is that of our own."""

    def __init__(self, wsgi: WSGI, prefix: str) -> None:
        self._wsgi = wsgi
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        found = _ANY.match(path)
        if found is None or found[0] == self._prefix:
            return self._wsgi(environ, start_response)
        environ["PATH_INFO"] = self._prefix + path[found.end() :]
        return self._wsgi(environ, _unkept(start_response))


def _unkept(start_response: Start) -> Start:
    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        kept = [(name, value) for name, value in headers if name.lower() != "cache-control"]
        return start_response(status, [*kept, ("Cache-Control", "no-store")], *more)

    return start
