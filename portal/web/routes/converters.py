"""Converters of ids in addresses."""

from __future__ import annotations

from werkzeug.routing import IntegerConverter

from portal.models import LARGEST_BIG_ID


class IdConverter(IntegerConverter):
    """``<id:user_id>``. A number that is too large for an id becomes 0, which no row has:
    PostgreSQL refuses to compare such a number."""

    largest = 2**31 - 1

    def to_python(self, value: str) -> int:
        number = int(value) if len(value) < 20 else 0
        return number if number <= self.largest else 0


class BigIdConverter(IdConverter):
    """``<big_id:job_id>``: an id of a table that may get very many rows."""

    largest = LARGEST_BIG_ID


CONVERTERS = {"id": IdConverter, "big_id": BigIdConverter}
