"""Reads the data of a request into a declared shape, or reports everything that is wrong with
it."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from portal.errors import Invalid, PortalError

Shape = TypeVar("Shape", bound=BaseModel)

_LARGEST_BODY = 64 * 1024
_MAX_ERRORS = 20
_SENTENCES = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no such field.",
}


class Malformed(PortalError):
    """The body is not JSON."""

    status = 400


class NotJson(PortalError):
    status = 415


def parse_query(shape: type[Shape]) -> Shape:
    """Reads the query of the address."""
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise Invalid({name[:100]: "Give this once." for name in repeated[:_MAX_ERRORS]})
    try:
        return shape.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise _invalid(error) from None


def parse_headers(shape: type[Shape]) -> Shape:
    """Reads the headers that the shape names."""
    names = [field.alias or name for name, field in shape.model_fields.items()]
    try:
        return shape.model_validate(
            {name: request.headers[name] for name in names if name in request.headers}
        )
    except ValidationError as error:
        raise _invalid(error) from None


def parse_body(shape: type[Shape]) -> Shape:
    """Reads the body."""
    if request.mimetype != "application/json":
        raise NotJson("Send the body as application/json.")
    request.max_content_length = _LARGEST_BODY
    try:
        return shape.model_validate_json(request.get_data())
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise Malformed("The body is not JSON.") from None
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Invalid:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return Invalid({_field(item): _sentence(item) for item in reversed(found[:_MAX_ERRORS])})


def _field(item: Any) -> str:
    return ".".join(str(part) for part in item["loc"])[:100] or "body"


def _sentence(item: Any) -> str:
    return _SENTENCES.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ") + "."
