"""Checks which site a request comes from, and which host name it asks for."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication

from flask import Flask, request
from werkzeug.wrappers import Request, Response

from portal.errors import Forbidden
from portal.services import refusals
from portal.services.actor import Actor
from portal.settings import Settings

#: Methods that change nothing.
SAFE = ("GET", "HEAD", "OPTIONS")
_OURS = ("same-origin", "none")
_MARKS_OF_A_PROXY = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED")


class OtherSite(Forbidden):
    reason = "other site"


def init_app(app: Flask) -> None:
    app.before_request(_refuse_other_sites)


def _refuse_other_sites() -> None:
    """Refuses forms from other sites. The form's token is the first defence; this one holds even
    if a token has leaked.

    ``Sec-Fetch-Site`` is trusted, because no page can set it. Without it the host in ``Origin``
    must be the requested host. The scheme is not compared: a proxy that sends no headers hides it.
    Programs send neither header.
    """
    if request.method in SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site in _OURS or (site is None and (origin is None or _names(origin, request.host))):
        return
    raise OtherSite(
        "This request came from another site. If you did send it from this one, the proxy in "
        "front of the portal hides the name you asked for; the connection doctor says more."
    )


def _names(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:  # such as http://[::1
        return False


def is_same(environ: dict[str, Any]) -> bool:
    """Whether an upgrade comes from our own pages, by scheme, host and port. Browsers always send
    ``Origin`` with an upgrade; programs need not."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return True
    if origin == f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}":
        return True  # true for nearly all, and parsing takes longer
    request = Request(environ)
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return (parts.scheme, parts.netloc.lower()) == (request.scheme, request.host.lower())


def is_from_here(environ: dict[str, Any]) -> bool:
    """Whether the client is a process of this machine, and not behind a proxy on it."""
    if any(name.startswith(_MARKS_OF_A_PROXY) for name in environ):
        return False
    try:
        peer = ip_address(environ.get("REMOTE_ADDR", ""))
    except ValueError:  # a Unix socket has none
        return False
    return _is_loopback(peer)


def _is_loopback(address: IPv4Address | IPv6Address) -> bool:
    # A dual-stack socket reports IPv4 addresses as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


class TrustedHosts:
    """The outermost WSGI layer: refuses requests for host names that are not the portal's.

    Such a name comes from somebody else's DNS entry or from a forged header, and links and
    redirects would lead there. Health probes ask by address and are answered, because nothing in
    those answers depends on the name.
    """

    def __init__(
        self, wsgi: WSGIApplication, allowed: Iterable[str], *, this_machine: bool = False
    ) -> None:
        """``this_machine``: the names of this machine are allowed too."""
        self._wsgi = wsgi
        self._allowed = [_without_port(name) for name in allowed]
        self._this_machine = this_machine

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if _is_probe(environ) or self._knows(environ):
            return self._wsgi(environ, start_response)
        sender = Actor(address=environ.get("REMOTE_ADDR", ""))
        refusals.note("unknown host", sender, host=environ.get("HTTP_HOST", "")[:200])
        refusal = Response(
            "The portal is not known by this name. If it should be, PORTAL_ALLOWED_HOSTS has to "
            "name it.\n",
            400,
        )
        return refusal(environ, start_response)

    def _knows(self, environ: dict[str, Any]) -> bool:
        host = _without_port(environ.get("HTTP_HOST", ""))
        return any(_covers(name, host) for name in self._allowed) or (
            self._this_machine and names_this_machine(environ)
        )


def trusted_hosts(wsgi: WSGIApplication, settings: Settings) -> WSGIApplication:
    """Puts the check around an application whose names are known: by the setting, or because only
    this machine reaches it. Otherwise a page of somebody else whose name leads to this machine
    could read the portal through a browser on it."""
    if settings.allowed_hosts:
        return TrustedHosts(wsgi, settings.allowed_hosts)
    if settings.trusted_proxies or not _is_own_name(settings.host):
        return wsgi
    named = urlsplit(settings.base_url).netloc
    return TrustedHosts(wsgi, [named] if named else [], this_machine=True)


def _is_probe(environ: dict[str, Any]) -> bool:
    path = environ.get("PATH_INFO", "")
    if path in ("/healthz", "/readyz"):
        return True
    # Allowed only by an address of this machine: a page of another site whose host name resolves to
    # it must not read the metrics through a browser here.
    return path == "/metrics" and is_from_here(environ) and names_this_machine(environ)


def names_this_machine(environ: dict[str, Any]) -> bool:
    """Whether the host that is asked for can be nobody else's name."""
    name = _without_port(environ.get("HTTP_HOST", "")).strip("[]")
    return _is_own_name(name) or name == socket.gethostname().lower()


def _is_own_name(name: str) -> bool:
    try:
        return name == "localhost" or name.endswith(".localhost") or _is_loopback(ip_address(name))
    except ValueError:
        return False


def _without_port(host: str) -> str:
    return re.sub(r":\d{1,5}$", "", host.lower())


def _covers(name: str, host: str) -> bool:
    """A leading dot allows the name itself and all its subdomains."""
    return host == name.removeprefix(".") or (name.startswith(".") and host.endswith(name))
