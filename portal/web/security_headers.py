"""The security headers of every answer; static files get a few of them."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request

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


#: Headers of plain-text refusals that are sent before Flask is called.
REFUSAL = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


_OF_FRAGMENTS = [*{**_EVERYWHERE, "Cache-Control": "private, no-cache", "Vary": "Cookie"}.items()]


def of_every_answer(*, secure: bool) -> list[tuple[str, str]]:
    strict = [("Strict-Transport-Security", STRICT_TRANSPORT)] if secure else []
    return [*_EVERYWHERE.items(), *strict]


def of_fragments(*, secure: bool) -> list[tuple[str, str]]:
    """Headers of fragments that pages poll: the browser keeps them but asks again each time, and
    shared caches do not keep them."""
    strict = [("Strict-Transport-Security", STRICT_TRANSPORT)] if secure else []
    return [*_OF_FRAGMENTS, *strict]


def init_app(app: Flask, *, always_secure: bool) -> None:
    """``always_secure``: cookies are sent over TLS only, so the whole site is."""

    def harden(response: Response) -> Response:
        for name, value in _EVERYWHERE.items():
            response.headers.setdefault(name, value)
        if always_secure or request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)
        return response

    app.after_request(harden)


def of_static_files(headers: Any, path: str, _url: str) -> None:
    for name in ("X-Content-Type-Options", "Cross-Origin-Resource-Policy"):
        headers[name] = _EVERYWHERE[name]
    # An SVG is a page too if somebody opens it directly. For other static files the header has no
    # effect, and a first visit asks for forty of them.
    if path.endswith(".svg"):
        headers["Content-Security-Policy"] = POLICY
