"""The time, in one form: aware, UTC. One clock for all processes: where they share a database,
it is the database's, so that no machine's own clock matters."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

from portal.runtime.context import current

#: Differences below this are the way to the database and back.
_TOLERANCE = timedelta(seconds=1)


@dataclass
class _Offset:
    """How far the database's clock is ahead of this machine's."""

    ahead: timedelta = timedelta(0)


def now() -> datetime:
    return datetime.now(UTC) + current()[_Offset].ahead


def follow(database_time: datetime) -> None:
    """From here on ``now()`` is the database's time, which was this a moment ago."""
    offset = current()[_Offset]
    difference = database_time - datetime.now(UTC)
    if abs(difference - offset.ahead) > _TOLERANCE:
        offset.ahead = difference


def elapsed() -> float:
    """Seconds that nobody sets, for deadlines; they go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def iso(moment: datetime) -> str:
    """ISO 8601, UTC, milliseconds, ``Z``: the form of every timestamp that leaves the server."""
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    )


def day_begins(day: date, timezone: str) -> datetime:
    """The first moment of a day, in UTC; raises OverflowError outside of the years 1 to 9999. Where
    clocks are set back over midnight a day has two: the first counts, for else what was counted
    since would be forgotten for an hour. Where they are set forward over it, there is none, and the
    day begins with the first moment after."""
    return datetime.combine(day, time_of_day(), ZoneInfo(timezone)).astimezone(UTC)
