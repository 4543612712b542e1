"""The time, in one form: aware, UTC. One clock for all processes: where they share a database,
it is the database's, so that no machine's own clock matters."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

#: Differences below this are the way to the database and back.
_SLACK = timedelta(seconds=1)

_ahead = timedelta(0)


def now() -> datetime:
    return datetime.now(UTC) + _ahead


def follow(database_time: datetime) -> None:
    """From here on ``now()`` is the database's time, which was this a moment ago."""
    global _ahead  # noqa: PLW0603 - one process, one clock
    difference = database_time - datetime.now(UTC)
    if abs(difference - _ahead) > _SLACK:
        _ahead = difference


def elapsed() -> float:
    """Seconds that nobody sets, for deadlines; they go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def iso(moment: datetime) -> str:
    """ISO 8601, UTC, milliseconds, ``Z``: the form of every timestamp that leaves the server."""
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    )
