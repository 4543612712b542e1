"""The base path of a portal that shares its host with other sites.

It comes from PORTAL_BASE_URL, or from the X-Forwarded-Prefix header of a trusted proxy. The proxy
may strip it from the path of a request or not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface

from portal.errors import SettingsError
from portal.runtime.addresses import is_prefix


class BasePath:
    """``fixed``: the path of the setting, or empty; ``trusted``: whether the header is trusted;
    ``own``: the first segments of our routes, with which no prefix may begin."""

    def __init__(
        self, wsgi: WSGIApplication, *, fixed: str, trusted: bool, own: Collection[str]
    ) -> None:
        self._wsgi = wsgi
        self._fixed = fixed
        self._trusted = trusted
        self._own = own

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        prefix = self._fixed or self._forwarded(environ)
        if prefix:
            environ["SCRIPT_NAME"] = prefix
            path = environ.get("PATH_INFO", "")
            if path == prefix or path.startswith(f"{prefix}/"):
                environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return self._wsgi(environ, start_response)

    def _forwarded(self, environ: dict[str, Any]) -> str:
        if not self._trusted:
            return ""
        # With several values, the last one is the nearest proxy's.
        text = environ.get("HTTP_X_FORWARDED_PREFIX", "").rpartition(",")[2].strip().rstrip("/")
        return text if is_prefix(text) and _first(text) not in self._own else ""


class CookieBelow(SecureCookieSessionInterface):
    """Limits the cookie to the base path: other sites of the host do not get it."""

    def get_cookie_path(self, app: Flask) -> str:
        # Browsers accept a cookie with this prefix only if its path is the whole host.
        whole_host = self.get_cookie_name(app).startswith("__Host-")
        return "/" if whole_host else request.script_root or "/"


def init_app(app: Flask, *, fixed: str, trusted: bool) -> None:
    """Call it once all routes are registered."""
    app.session_interface = CookieBelow()
    own = {_first(rule.rule) for rule in app.url_map.iter_rules()} | {"socket.io", "static"}
    if fixed and _first(fixed) in own:
        raise SettingsError(
            f"PORTAL_BASE_URL: /{_first(fixed)} is a page of the portal itself; take another path"
        )
    if fixed or trusted:
        app.wsgi_app = BasePath(  # type: ignore[method-assign]
            app.wsgi_app, fixed=fixed, trusted=trusted, own=own
        )


def _first(path: str) -> str:
    return path.split("/")[1]
