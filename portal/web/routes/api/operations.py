"""Each operation of the API has one declaration. It makes the route with its right, reads the
request and shapes the answer, and ``/api/v1/openapi.json`` is generated from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from flask import Blueprint, Response, make_response

from portal.models import Role
from portal.web.access import requires
from portal.web.routes.api.requests import parse_body, parse_headers, parse_query
from portal.web.routes.api.shapes import Query, RequestBody, ResponseBody

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

_JSON = "application/json"
_NUMBER = re.compile(r"<(?:big_)?id:(\w+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOperation:
    """``answers``: what each status of success means. ``refusals``: further reasons for a refusal,
    beside those that follow from the right, the path, a query or a body."""

    method: str
    rule: str
    name: str
    tag: str
    summary: str
    description: str
    right: Role
    shape: type[ResponseBody]
    answers: Mapping[int, str]
    refusals: Mapping[int, str]
    query: type[Query]
    body: type[RequestBody] | None
    headers: type[Query] | None
    answer_headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """The path in the form of OpenAPI: ``/api/v1/jobs/{job_id}``."""
        return f"{blueprint.url_prefix}" + _NUMBER.sub(r"{\1}", self.rule)

    @property
    def numbers(self) -> list[str]:
        """The names of the numbers in the path."""
        return _NUMBER.findall(self.rule)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a view that sets its status or headers."""

    shown: ResponseBody
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


View = Callable[..., ResponseBody | Answer]

OPERATIONS: list[ApiOperation] = []


def operation(
    method: str,
    rule: str,
    *,
    right: Role,
    shape: type[ResponseBody],
    answers: Mapping[int, str],
    refusals: Mapping[int, str] | None = None,
    query: type[Query] = Query,
    body: type[RequestBody] | None = None,
    headers: type[Query] | None = None,
    answer_headers: Mapping[str, str] | None = None,
) -> Callable[[View], View]:
    """Declares the view below it. The first line of the view's docstring is the summary, the rest
    its description. The view gets the numbers of its path, and ``query``, ``body`` and ``headers``
    if they are declared."""

    def declare(view: View) -> View:
        summary, _, description = (view.__doc__ or "").strip().partition("\n")
        declared = ApiOperation(
            method=method,
            rule=rule,
            name=view.__name__,
            tag=rule.strip("/").split("/")[0],
            summary=summary,
            description=" ".join(description.split()),
            right=right,
            shape=shape,
            answers=answers,
            refusals=refusals or {},
            query=query,
            body=body,
            headers=headers,
            answer_headers=answer_headers or {},
        )
        OPERATIONS.append(declared)
        blueprint.add_url_rule(
            rule,
            endpoint=view.__name__,
            view_func=requires(right)(_route(declared, view)),
            methods=[method],
        )
        return view

    return declare


def _route(declared: ApiOperation, view: View) -> Callable[..., Response]:
    @wraps(view)
    def route(**path: int) -> Response:
        arguments: dict[str, Any] = dict(path)
        query = parse_query(declared.query)
        if declared.query is not Query:
            arguments["query"] = query
        if declared.headers is not None:
            arguments["headers"] = parse_headers(declared.headers)
        if declared.body is not None:
            arguments["body"] = parse_body(declared.body)
        result = view(**arguments)
        answer = result if isinstance(result, Answer) else Answer(result)
        assert answer.status in declared.answers, answer.status  # noqa: S101 - a fault of ours
        return _response(answer)

    return route


def _response(answer: Answer) -> Response:
    response = make_response(answer.shown.model_dump_json(), answer.status)
    response.headers["Content-Type"] = _JSON
    response.headers.update(answer.headers)
    return response
