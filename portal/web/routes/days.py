"""The fields ``from`` and ``to`` of a filter: days in the reader's time zone, both included."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from portal.db.clock import day_begins


def period(
    typed: Mapping[str, str], timezone: str, errors: dict[str, str]
) -> tuple[datetime | None, datetime | None]:
    """Returns the first moment and the first moment after the period. Adds problems to
    ``errors``."""
    since = _midnight(typed, "from", 0, timezone, errors)
    until = _midnight(typed, "to", 1, timezone, errors)
    if since and until and since >= until:
        errors["to"] = "This date is before the first one."
    return since, until


def _midnight(
    typed: Mapping[str, str], name: str, later: int, timezone: str, errors: dict[str, str]
) -> datetime | None:
    if not typed[name]:
        return None
    try:
        day = date.fromisoformat(typed[name]) + timedelta(days=later)
        return day_begins(day, timezone)
    except (ValueError, OverflowError):
        errors[name] = "Use a date such as 2026-11-22."
        return None
