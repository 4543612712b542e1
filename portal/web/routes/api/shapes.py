"""The rules of our JSON: unknown fields are refused, and all times have one form."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from portal.db.clock import iso


class RequestBody(BaseModel):
    """The body of a request. An unknown field is refused: it is a mistake of the sender."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Query(BaseModel):
    """The query of an address: all values arrive as text."""

    model_config = ConfigDict(extra="forbid")


class ResponseBody(BaseModel):
    """The body of an answer."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


Timestamp = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Problem(ResponseBody):
    """What went wrong, after RFC 9457."""

    status: int = Field(description="Status code of the response.")
    title: str = Field(description="What kind of problem it is.")
    detail: str = Field(description="What happened and what to do.")
    errors: dict[str, str] = Field({}, description="What is wrong with each field.")
