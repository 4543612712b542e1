"""Endpoints for monitoring: whether the portal is up, whether it is ready, and its figures."""

from __future__ import annotations

import hmac
from typing import Any

from flask import Blueprint, jsonify, request
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from werkzeug.wrappers import Response

from portal.errors import NotFound
from portal.services import readiness
from portal.services.runtime import runtime
from portal.web import origins
from portal.web.access import public
from portal.web.metrics import registry
from portal.web.rate_limits import limited_as

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
@limited_as(None)
def healthz() -> Response:
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
@public
@limited_as(None)
def readyz() -> Response:
    """Answers 200, or 503 with the parts that are down."""
    parts = readiness.parts()
    ready = all(state == "ok" for state in parts.values())
    answer: dict[str, Any] = {"status": "ready" if ready else "not ready", "parts": parts}
    if unconfined := readiness.why_unconfined(runtime().settings):
        answer["confinement"] = unconfined
    response = jsonify(answer)
    response.status_code = 200 if ready else 503
    return response


@blueprint.get("/metrics")
@public
@limited_as(None)
def metrics() -> Response:
    if not _may_read_metrics():
        raise NotFound("Page not found.")
    return Response(generate_latest(registry()), content_type=CONTENT_TYPE_LATEST)


def _may_read_metrics() -> bool:
    """Requires the token if one is set. Without one it allows only this machine, not through a
    proxy on it, and by no name that could be a stranger's."""
    settings = runtime().settings
    token = settings.metrics_token
    if token:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), token.encode())
    known = bool(settings.allowed_hosts) or origins.names_this_machine(request.environ)
    return known and origins.is_from_here(request.environ)
