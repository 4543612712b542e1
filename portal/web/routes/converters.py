"""What may stand for an id in an address."""

from __future__ import annotations

from werkzeug.routing import IntegerConverter


class IdConverter(IntegerConverter):
    """``<id:user_id>``. A number that no row can have stands for 0, which none has: PostgreSQL
    refuses to compare one that is too large."""

    largest = 2**31 - 1

    def to_python(self, value: str) -> int:
        number = int(value) if len(value) < 20 else 0
        return number if number <= self.largest else 0


class BigIdConverter(IdConverter):
    """``<big_id:job_id>``: there may be very many jobs."""

    largest = 2**63 - 1


CONVERTERS = {"id": IdConverter, "big_id": BigIdConverter}
