"""The description of the API, generated from the declared operations: OpenAPI 3.1 for programs, a
page for people."""

from __future__ import annotations

from typing import Any

from flask import current_app, jsonify, render_template, request
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.wrappers import Response

from portal.models import Role, Scope
from portal.web.access import requires
from portal.web.routes.api.operations import OPERATIONS, ApiOperation, blueprint
from portal.web.routes.api.shapes import Problem, Query

Json = dict[str, Any]

_TEMPLATE = "#/components/schemas/{model}"
_PROBLEM = "application/problem+json"
_ABOUT = (
    "Create transfers, watch them, cancel and retry them; for admins, users as well. A request"
    " bears a token made on the page API tokens (Authorization: Bearer tp_…); a token does what its"
    " scope and its user's role both allow. A signed-in browser may use its session instead, with"
    " the header X-CSRFToken on what changes something. Times are UTC. The headers"
    " RateLimit and RateLimit-Policy say how many requests are left within the minute."
)
_REFUSALS = {
    400: "The body is not JSON; or, with a session, the CSRF token is missing.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The role or the scope of the token does not allow this.",
    404: "It does not exist.",
    413: "The body is larger than 64 KiB.",
    415: "The content type is not application/json.",
    422: "A field is unknown, missing or wrong; errors says which and why.",
    429: "Too many requests within a minute; Retry-After says when to ask again.",
}


@blueprint.get("/openapi.json")
@requires(Role.VIEWER)
def openapi() -> Response:
    return jsonify(document())


@blueprint.get("/docs")
@requires(Role.VIEWER)
def reference() -> str:
    described = document()
    return render_template(
        "api/reference.html",
        document=described,
        operations=OPERATIONS,
        schemas=described["components"]["schemas"],
        kind=kind,
    )


def document() -> Json:
    schemas, references = _schemas()
    paths: dict[str, Json] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas, references)
    used = {name: schema for name, schema in schemas.items() if name not in _queries()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Transfer Portal", "version": "1", "description": _ABOUT},
        **({"servers": [{"url": request.script_root}]} if request.script_root else {}),
        "paths": paths,
        "components": {
            "schemas": used,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": current_app.config["SESSION_COOKIE_NAME"],
                },
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def scope_for(right: Role) -> Scope:
    return next(scope for scope in Scope if scope.role == right)


def kind(schema: Json) -> str:
    """Describes the type of a value in a few words: ``integer or null``, ``list of Job``."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {kind(schema['additionalProperties'])}"
    return str(schema.get("format") or schema.get("type", "any"))


def _operation(one: ApiOperation, schemas: dict[str, Json], references: dict[Any, Json]) -> Json:
    described: Json = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "description": f"{one.description} {_right(one)}".strip(),
        "x-role": one.right.value,
        "x-scope": scope_for(one.right).value,
        "parameters": _parameters(one, schemas),
        "responses": _responses(one, references),
    }
    if one.body is not None:
        schema = references[one.body, "validation"]
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return described


def _right(one: ApiOperation) -> str:
    return f"Needs the role {one.right.value} and the scope {scope_for(one.right).value}."


def _parameters(one: ApiOperation, schemas: dict[str, Json]) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
        for name in one.numbers
    ]
    for place, shape in (("query", one.query), ("header", one.headers)):
        if shape is None or shape is Query:
            continue
        for name, schema in schemas[shape.__name__]["properties"].items():
            found.append(_parameter(place, name, schema))
    return found


def _parameter(place: str, name: str, schema: Json) -> Json:
    # An optional parameter is left out of the address, never sent as null.
    given = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    kept = given[0] if given else schema
    hidden = ("title", "description") + (("default",) if given else ())
    schema_of_value = {key: value for key, value in kept.items() if key not in hidden}
    return {
        "name": name,
        "in": place,
        "required": False,
        "description": schema.get("description", ""),
        "schema": schema_of_value,
    }


def _responses(one: ApiOperation, references: dict[Any, Json]) -> Json:
    shown = {"application/json": {"schema": references[one.shape, "serialization"]}}
    headers = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in one.answer_headers.items()
    }
    found = {
        str(status): {"description": text, "content": shown}
        | ({"headers": headers} if headers else {})
        for status, text in one.answers.items()
    }
    problem = {_PROBLEM: {"schema": references[Problem, "validation"]}}
    for status in sorted({*_usual_refusals(one), *one.refusals}):
        text = one.refusals.get(status) or _REFUSALS[status]
        found[str(status)] = {"description": text, "content": problem}
    return found


def _usual_refusals(one: ApiOperation) -> set[int]:
    """Returns the refusals that follow from the declaration itself."""
    return (
        {401, 422, 429}
        | ({403} if one.right != Role.VIEWER else set())
        | ({404} if one.numbers else set())
        | ({400} if one.method == "POST" else set())
        | ({413, 415} if one.body is not None else set())
    )


def _schemas() -> tuple[dict[str, Json], dict[Any, Json]]:
    """Returns all shapes by name, and the reference to each by shape and mode."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "validation")]
    for one in OPERATIONS:
        wanted.append((one.shape, "serialization"))
        wanted += [(shape, "validation") for shape in (one.body, one.headers) if shape is not None]
        if one.query is not Query:
            wanted.append((one.query, "validation"))
    references, definitions = models_json_schema(
        list(dict.fromkeys(wanted)), ref_template=_TEMPLATE
    )
    return definitions["$defs"], dict(references)


def _queries() -> set[str]:
    """Returns the names of shapes that are parameters, not bodies."""
    return {shape.__name__ for one in OPERATIONS for shape in (one.query, one.headers) if shape}
