"""Fragments that pages poll. No cache keeps them; a client that names what it has gets it once."""

from __future__ import annotations

import hashlib

from flask import make_response, request
from werkzeug.wrappers import Response


def unchanged(tag: str) -> Response | None:
    """Returns a 304 answer if the client has this very content, or None if it must be sent."""
    response = _set_tag(make_response(""), tag).make_conditional(request)
    return response if response.status_code == 304 else None


def fragment(html: str, tag: str) -> Response:
    return _set_tag(make_response(html), tag)


def tag_of(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _set_tag(response: Response, tag: str) -> Response:
    response.set_etag(tag)
    return response
