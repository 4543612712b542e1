"""The connection doctor: what this server sees of the browser's connection to it."""

from flask import Blueprint, jsonify, render_template, request
from werkzeug.wrappers import Response

from portal.db.clock import iso, now
from portal.models import Role
from portal.services.runtime import runtime
from portal.web.access import background, requires

blueprint = Blueprint("doctor", __name__)

_FORWARDED = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Prefix",
    "Via",
)


@blueprint.get("/connection")
@requires(Role.VIEWER)
def show() -> str:
    return render_template("doctor/page.html", seen=_seen())


@blueprint.get("/api/connection")
@requires(Role.VIEWER)
@background
def seen() -> Response:
    return jsonify(_seen())


def _seen() -> dict[str, object]:
    original = request.environ.get("werkzeug.proxy_fix.orig", {})
    return {
        "scheme": request.scheme,
        "host": request.host,
        "remote_addr": request.remote_addr,
        "peer_addr": original.get("REMOTE_ADDR", request.remote_addr),
        "forwarded": {
            name: request.headers[name] for name in _FORWARDED if name in request.headers
        },
        "http_version": request.environ.get("SERVER_PROTOCOL", ""),
        "trusted_proxies": runtime().settings.trusted_proxies,
        "time": iso(now()),
    }
