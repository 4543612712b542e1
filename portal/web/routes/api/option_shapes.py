"""The fields of a transfer's options in JSON, built from their declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from portal.transfers.option_kinds import MAX_PATTERNS, Age, Flag, Number, Patterns, Size
from portal.transfers.options import OPTIONS, Option
from portal.web.routes.api.shapes import RequestBody, ResponseBody

_TEXT_LENGTH = 20


def _given(option: Option) -> tuple[Any, Any]:
    """Returns the type and the field of an option in a request."""
    words = option.description
    match option.kind:
        case Patterns():
            return list[str], Field([], max_length=MAX_PATTERNS, description=words)
        case Age() | Size():
            return str, Field("", max_length=_TEXT_LENGTH, description=words)
        case Number(least, most):
            return int, Field(option.default, ge=least, le=most, description=words)
        case Flag():
            return bool, Field(option.default, description=words)


def _shown(option: Option) -> tuple[Any, Any]:
    """Returns the type and the field of an option in an answer."""
    match option.kind:
        case Patterns():
            return list[str], ...
        case Age():
            return int | None, Field(description="Seconds.")
        case Size():
            return int | None, Field(description="Bytes.")
        case Number():
            return int, ...
        case Flag():
            return bool, ...


if TYPE_CHECKING:

    class OptionsRequest(RequestBody):
        """A base class with a field for each option."""

    class OptionsResponse(ResponseBody):
        """A base class with a field for each option."""
else:
    OptionsRequest = create_model(
        "OptionsGiven", __base__=RequestBody, **{option.name: _given(option) for option in OPTIONS}
    )
    OptionsResponse = create_model(
        "OptionsShown", __base__=ResponseBody, **{option.name: _shown(option) for option in OPTIONS}
    )
