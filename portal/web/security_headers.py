"""The security headers of every answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

import structlog
from werkzeug.wrappers import Response

log = structlog.get_logger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: Two years, as the preload lists of browsers demand. Subdomains are not included: they may belong
#: to somebody else.
STRICT_TRANSPORT = "max-age=63072000"

_FEATURES = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "publickey-credentials-get",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
_EVERYWHERE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: the CSRF check needs a Referer over HTTPS.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
    "X-Permitted-Cross-Domain-Policies": "none",
    "Cache-Control": "no-store",
}


#: Scripts and style sheets, which no browser shows as a page. What holds for pages alone is left
#: out: a first visit asks for forty of them.
_NEVER_PAGES = ("text/javascript", "text/css")
_OF_NO_PAGE = {
    **{
        name: _EVERYWHERE[name]
        for name in ("X-Content-Type-Options", "Cross-Origin-Resource-Policy", "Cache-Control")
    },
    "Content-Security-Policy": "default-src 'none'",
}


def of_every_answer(*, secure: bool) -> list[tuple[str, str]]:
    """``secure``: the site is reached over TLS."""
    return [header for _, header in _by_name(_EVERYWHERE, secure)]


def _by_name(headers: dict[str, str], secure: bool) -> list[tuple[str, tuple[str, str]]]:
    strict = {"Strict-Transport-Security": STRICT_TRANSPORT} if secure else {}
    return [(name.lower(), (name, value)) for name, value in {**headers, **strict}.items()]


class SecurityHeadersMiddleware:
    """Puts the headers into every answer, whoever gives it: Flask, the static files, Socket.IO, or
    a layer that refuses. A header that an answer has already stays.

    An error of a layer before Flask, which has a handler of its own, is answered here: the web
    server would send a head without them, and log nothing.
    """

    def __init__(self, wsgi: WSGIApplication, *, always_secure: bool) -> None:
        """``always_secure``: cookies are sent over TLS only, so the whole site is."""
        self._wsgi = wsgi
        self._always_secure = always_secure
        self._headers = {secure: _by_name(_EVERYWHERE, secure) for secure in (False, True)}
        self._of_no_page = {secure: _by_name(_OF_NO_PAGE, secure) for secure in (False, True)}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        secure = self._always_secure or environ["wsgi.url_scheme"] == "https"

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            named = {name.lower(): value for name, value in headers}
            is_no_page = named.get("content-type", "").startswith(_NEVER_PAGES)
            ours = (self._of_no_page if is_no_page else self._headers)[secure]
            added = [header for name, header in ours if name not in named]
            return start_response(status, [*headers, *added], *more)

        try:
            return self._wsgi(environ, start)
        except Exception:
            log.exception("unhandled error before Flask", path=environ.get("PATH_INFO"))
            return _FAILED(environ, start)


_FAILED = Response("Something went wrong here. It has been logged.\n", 500)
