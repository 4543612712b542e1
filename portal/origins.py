"""Where a request says it comes from, and which name it asks for."""

from __future__ import annotations

from urllib.parse import urlsplit

import structlog
from flask import Flask, request
from werkzeug.exceptions import SecurityError
from werkzeug.wrappers import Request

from portal.errors import Forbidden

log = structlog.get_logger(__name__)

_SAFE = ("GET", "HEAD", "OPTIONS")
_OURS = ("same-origin", "none")


def init_app(app: Flask, allowed_hosts: tuple[str, ...]) -> None:
    """``allowed_hosts``: the names the portal is reached by; empty: any."""
    app.config["TRUSTED_HOSTS"] = list(allowed_hosts) or None
    app.before_request(_refuse_other_sites)


def _refuse_other_sites() -> None:
    """The token of the form is the first defence; this one holds even if a token leaked.

    A browser that knows ``Sec-Fetch-Site`` is believed, since no page can set it. Else the host of
    ``Origin`` must be the one that was asked for; not the scheme, which a proxy without its
    headers hides. Programs send neither.
    """
    if request.method in _SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site in _OURS or (site is None and (origin is None or _names(origin, request.host))):
        return
    log.warning("form refused: it came from another site", origin=origin, site=site)
    raise Forbidden(
        "This came from a page of another site. If you did send it from this one, the proxy in "
        "front of the portal hides the name you asked for; the connection doctor says more."
    )


def _names(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:  # such as http://[::1
        return False


def is_same(request: Request) -> bool:
    """For an upgrade: scheme, host and port. Browsers always send ``Origin`` with it; programs
    need not."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return (parts.scheme, parts.netloc.lower()) == (request.scheme, request.host.lower())


def host_is_known(request: Request, allowed_hosts: list[str] | None) -> bool:
    request.trusted_hosts = allowed_hosts
    try:
        return bool(request.host)
    except SecurityError:
        return False
