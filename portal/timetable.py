"""How fast a transfer may be, at all times or by the time of day.

A limit is one rate (``10M``, ``off``) or a timetable of them (``08:00,10M 19:00,off``), in rclone's
own notation. What is read here is less than what rclone takes, and all of it is taken by rclone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

LENGTH = 64  # of the column
OFF = "off"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_DAY = 24 * 60
_MOST_SLOTS = 24

# What rclone reads as a size, and no more bytes than its 63 bits hold: it takes `10Mi` and `10MiB`,
# not `10MB`.
_RATE = re.compile(
    r"off|\d{1,9}(\.\d{1,3})?(b|[kmg](ib?)?)?|\d{1,3}(\.\d{1,3})?[tp](ib?)?",
    re.IGNORECASE | re.ASCII,
)
_SLOT = re.compile(r"(?:([A-Za-z]{3})-)?(\d{1,2}):(\d{2}),(\S+)", re.ASCII)


class NoTimetable(ValueError):
    """The text is no limit; the message is a sentence for whoever typed it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """From this minute on (of each day, or of a weekday, 0 for Monday) the rate holds."""

    weekday: int | None
    minute: int
    rate: str

    def __str__(self) -> str:
        day = "" if self.weekday is None else f"{WEEKDAYS[self.weekday]}-"
        return f"{day}{self.minute // 60:02}:{self.minute % 60:02},{self.rate}"

    @property
    def begins(self) -> tuple[int, ...]:
        """Minutes of the week, from Monday 00:00, at which it begins."""
        days = range(7) if self.weekday is None else (self.weekday,)
        return tuple(day * _DAY + self.minute for day in days)


@dataclass(frozen=True, slots=True)
class Timetable:
    """``slots`` is never empty; one without a time is a single slot that begins at midnight and
    stands alone (``constant``)."""

    slots: tuple[Slot, ...]
    constant: bool

    def __str__(self) -> str:
        if self.constant:
            return self.slots[0].rate
        return " ".join(str(slot) for slot in self.slots)

    def rate_at(self, moment: datetime) -> str:
        """The rate that holds at this moment, by the wall clock of its own time zone. Before the
        week's first slot that is the last one of the week before."""
        here = moment.weekday() * _DAY + moment.hour * 60 + moment.minute
        begins = sorted((minute, slot.rate) for slot in self.slots for minute in slot.begins)
        past = [rate for minute, rate in begins if minute <= here]
        return past[-1] if past else begins[-1][1]


def parse(text: str) -> Timetable | None:
    """None for an empty text: no limit. Raises NoTimetable."""
    text = text.strip()
    if not text:
        return None
    if len(text) > LENGTH:
        raise NoTimetable(f"Use at most {LENGTH} characters.")
    entries = text.split()
    if "," not in text:
        return Timetable((Slot(None, 0, _rate(text)),), constant=True)
    if len(entries) > _MOST_SLOTS:
        raise NoTimetable(f"Use at most {_MOST_SLOTS} times.")
    slots = tuple(_slot(entry) for entry in entries)
    _refuse_twice(slots)
    return Timetable(slots, constant=False)


def _slot(entry: str) -> Slot:
    found = _SLOT.fullmatch(entry)
    if found is None:
        raise NoTimetable(
            f"“{entry[:40]}” is no time with its limit. Write a timetable such as"
            " 08:00,10M 19:00,off."
        )
    day, hour, minute, rate = found.groups()
    if int(hour) > 23 or int(minute) > 59:
        raise NoTimetable(f"{hour}:{minute} is no time of day.")
    return Slot(_weekday(day), int(hour) * 60 + int(minute), _rate(rate))


def _weekday(name: str | None) -> int | None:
    if name is None:
        return None
    if name.capitalize() not in WEEKDAYS:
        raise NoTimetable(f"“{name}” is no day. Use Mon, Tue, Wed, Thu, Fri, Sat or Sun.")
    return WEEKDAYS.index(name.capitalize())


def _rate(text: str) -> str:
    if not _RATE.fullmatch(text):
        raise NoTimetable("Write a number and a unit, such as 10M or 512k, for each second.")
    return OFF if text.lower() == OFF else text


def _refuse_twice(slots: tuple[Slot, ...]) -> None:
    seen: set[int] = set()
    for slot in slots:
        if seen.intersection(slot.begins):
            raise NoTimetable(f"{str(slot).partition(',')[0]} is there twice.")
        seen.update(slot.begins)
