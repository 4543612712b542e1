"""Lists in pages: all have the same query, the same frame and the same ``Link`` header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from flask import request
from pydantic import Field

from portal.web.routes.api.operations import Answer
from portal.web.routes.api.shapes import Query, ResponseBody

LINKS: Mapping[str, str] = {
    "Link": "Paths of the first, previous, next and last page (RFC 8288), those that exist."
}


class Pages(Query):
    page: int = Field(1, ge=1, le=999_999_999, description="Number of the page, from 1.")
    per_page: int = Field(25, ge=1, le=100, description="Items on a page.")


class Paged(ResponseBody):
    """A subclass adds ``items``."""

    page: int = Field(description="Number of this page, from 1.")
    per_page: int = Field(description="Items on a full page.")
    pages: int = Field(description="How many pages there are; 1 of an empty list.")
    total: int = Field(description="How many items there are on all pages.")


def pages_of(total: int, per_page: int) -> int:
    return max(1, -(-total // per_page))


def answer_page(
    shape: type[Paged], items: Sequence[ResponseBody], query: Pages, *, pages: int, total: int
) -> Answer:
    page = {"page": query.page, "per_page": query.per_page, "pages": pages, "total": total}
    return Answer(
        shape.model_validate({"items": items, **page}), headers={"Link": _links(query, pages)}
    )


def _links(query: Pages, pages: int) -> str:
    """Paths without a host: the public name of a proxy in front is not always known here."""
    numbers = {"first": 1, "prev": query.page - 1, "next": query.page + 1, "last": pages}
    kept = {name: value for name, value in request.args.items() if name != "page"}
    here = f"{request.script_root}{request.path}"
    targets = [
        f'<{here}?{urlencode({**kept, "page": number})}>; rel="{relation}"'
        for relation, number in numbers.items()
        if 1 <= number <= pages
    ]
    return ", ".join(targets)
