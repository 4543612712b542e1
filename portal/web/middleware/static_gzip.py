"""Serves our stylesheets, scripts and icons compressed, from memory. Each is compressed once.

Vendored files have a `.gz` file next to them. Ours change with every edit, and a compressed copy on
disk would become outdated.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

_TEXTS = frozenset({".css", ".js", ".svg"})
_OK = f"{HTTPStatus.OK.value} "


class GzipStaticMiddleware:
    """Wraps the application that serves ``folder`` below ``prefix``, and replaces the bodies of its
    responses for clients that accept gzip."""

    def __init__(self, wsgi: WSGIApplication, folder: Path, prefix: str) -> None:
        self._wsgi = wsgi
        self._bodies = _compress_all(folder, prefix)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = self._bodies.get(environ.get("PATH_INFO", ""))
        if body is None or not _accepts_gzip(environ):
            return self._wsgi(environ, start_response)
        replaced = False

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            nonlocal replaced
            replaced = status.startswith(_OK)
            if replaced:
                headers = [pair for pair in headers if pair[0].lower() != "content-length"]
                headers += [
                    ("Content-Length", str(len(body))),
                    ("Content-Encoding", "gzip"),
                    ("Vary", "Accept-Encoding"),
                ]
            return start_response(status, headers, *rest)

        plain = self._wsgi(environ, start)
        if not replaced:
            return plain
        if close := getattr(plain, "close", None):
            close()
        return [body]


@cache
def _compress_all(folder: Path, prefix: str) -> dict[str, bytes]:
    """Compressed bodies by path. The cache key is the prefix, which contains a hash of these
    files."""
    return {
        prefix + path.relative_to(folder).as_posix(): gzip.compress(path.read_bytes(), mtime=0)
        for path in folder.rglob("*")
        if path.suffix in _TEXTS and not path.with_name(f"{path.name}.gz").exists()
    }


def _accepts_gzip(environ: dict[str, Any]) -> bool:
    return (
        environ["REQUEST_METHOD"] == "GET"
        and "HTTP_RANGE" not in environ
        and "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
    )
