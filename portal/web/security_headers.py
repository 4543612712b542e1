"""What every answer tells browsers to refuse; static files bear a few of these."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: Two years, as the lists of browsers ask. Not for subdomains: they may be somebody else's.
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
    # Not no-referrer: the CSRF check wants a Referer over HTTPS.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
    "X-Permitted-Cross-Domain-Policies": "none",
    "Cache-Control": "no-store",
}


#: Of a refusal in plain words, given before Flask is asked.
REFUSAL = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


_OF_FRAGMENTS = [*{**_EVERYWHERE, "Cache-Control": "private, no-cache", "Vary": "Cookie"}.items()]


def of_fragments(*, secure: bool) -> list[tuple[str, str]]:
    """Of what pages poll: kept, but asked for again each time; and for nobody else."""
    strict = [("Strict-Transport-Security", STRICT_TRANSPORT)] if secure else []
    return [*_OF_FRAGMENTS, *strict]


def init_app(app: Flask, *, always_secure: bool) -> None:
    """``always_secure``: the cookies go over TLS alone, hence everything does."""

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
    # An SVG is a page too, when somebody opens it by itself. Of the others it means nothing, and a
    # first visit asks for forty.
    if path.endswith(".svg"):
        headers["Content-Security-Policy"] = POLICY
