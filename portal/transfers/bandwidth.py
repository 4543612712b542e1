"""How fast a transfer may be, at all times or by the time of day.

A limit is one rate (``10M``, ``off``) or a timetable of them (``08:00,10M 19:00,off``), in rclone's
own notation: ``10M`` is 10 MiB a second. What people write is understood where it can mean only one
thing (``10 MB/s``, ``100 Mbit/s``) and kept in that notation; a bare number, which is KiB to rclone
and bytes to most people, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

LENGTH = 64  # of the column
OFF = "off"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_DAY = 24 * 60
_MAX_SLOTS = 24

#: rclone's own notation, which is kept as it was typed. `10M` and `10MiB` are the same there.
_RCLONE = re.compile(r"\d{1,19}(\.\d{1,3})?(b|[kmgtp](ib?)?)", re.IGNORECASE | re.ASCII)
_AMOUNT = re.compile(r"(\d{1,19}(?:\.\d{1,3})?)\s*([A-Za-z]*(?:/s)?)", re.ASCII)
#: A unit in a timetable that a blank separates from its number.
_UNIT = re.compile(r"[A-Za-z]{1,5}(?:/s)?", re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_PREFIX = "([kmgtp]?|[KMGTP])"
_BINARY = re.compile(r"([kmgtp])(?:ib?)?", re.IGNORECASE | re.ASCII)
_BYTES = re.compile(_PREFIX + r"B", re.ASCII)
_BITS = re.compile(_PREFIX + r"(?:bits?|bps)", re.ASCII)
_LETTER_ALONE = re.compile(_PREFIX + r"b", re.ASCII)
_LARGEST = 2**62  # what rclone counts in holds one bit more
_SLOT = re.compile(r"(?:([A-Za-z]{3})-)?(\d{1,2}):(\d{2}),(\S+)", re.ASCII)


class InvalidBandwidth(ValueError):
    """The text is no limit. The message is a sentence for the person who typed it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A rate and the minute from which it holds, each day or on one weekday (0 is Monday)."""

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
    """``slots`` is never empty. ``constant``: one rate at all times, kept as a slot at midnight."""

    slots: tuple[Slot, ...]
    constant: bool

    def __str__(self) -> str:
        if self.constant:
            return self.slots[0].rate
        return " ".join(str(slot) for slot in self.slots)

    def rate_at(self, moment: datetime) -> str:
        """The rate at this moment, by the clock of the moment's own time zone. Before the first
        slot of the week, the last slot of the week before still holds."""
        here = moment.weekday() * _DAY + moment.hour * 60 + moment.minute
        begins = sorted((minute, slot.rate) for slot in self.slots for minute in slot.begins)
        past = [rate for minute, rate in begins if minute <= here]
        return past[-1] if past else begins[-1][1]


def parse(text: str) -> Timetable | None:
    """None for an empty text: no limit. Raises InvalidBandwidth."""
    text = text.strip()
    if not text:
        return None
    if len(text) > LENGTH:
        raise InvalidBandwidth(f"Use at most {LENGTH} characters.")
    found = _timetable(text)
    if len(str(found)) > LENGTH:
        raise InvalidBandwidth("This is too long. Use units such as 10M, or fewer times.")
    return found


def from_row(text: str | None) -> Timetable | None:
    """Reads the limit of a row. Older releases accepted bare numbers, which rclone reads as KiB,
    and ``0``, which it reads as no limit."""
    if not text:
        return None
    return parse(_STORED.sub(_as_rclone_reads, text))


def rate_at(text: str | None, timezone: str, moment: datetime) -> str:
    """The rate of a row at this moment, by the clock of ``timezone``; ``off`` for no limit."""
    table = _from_row(text)
    return table.rate_at(moment.astimezone(ZoneInfo(timezone))) if table else OFF


def bytes_at(text: str | None, timezone: str, moment: datetime) -> int | None:
    """As ``rate_at``, in bytes a second; None for no limit."""
    return bytes_of(rate_at(text, timezone, moment))


def bytes_of(rate: str) -> int | None:
    """Bytes a second of a rate in rclone's notation, at least 1; None for ``off``."""
    if rate == OFF:
        return None
    found = _AMOUNT.fullmatch(rate)
    assert found is not None  # noqa: S101 - it was read before
    return max(1, int(_bytes(*found.groups())))


@lru_cache(maxsize=1_000)
def _from_row(text: str | None) -> Timetable | None:
    return from_row(text)


_STORED = re.compile(r"(?:(?<=,)|^)(\d+(?:\.\d+)?)([A-Za-z]*)(?=\s|$)", re.ASCII)


def _as_rclone_reads(found: re.Match[str]) -> str:
    number, unit = found.groups()
    least = 1.0 if unit.lower() == "b" else 0.001
    return (f"{number}{unit or 'K'}") if float(number) >= least else OFF


def words(text: str | None) -> str:
    """A limit as a person reads it: ``10 MiB/s``; ``10 MB/s from 08:00, no limit from 19:00``."""
    found = from_row(text)
    if found is None:
        return "none"
    if found.constant:
        return _rate_words(found.slots[0].rate)
    return ", ".join(
        f"{_rate_words(slot.rate)} from {str(slot).partition(',')[0]}" for slot in found.slots
    )


def _rate_words(rate: str) -> str:
    if rate == OFF:
        return "no limit"
    found = _AMOUNT.fullmatch(rate)
    assert found is not None  # noqa: S101 - it was read before
    number, unit = found.groups()
    if binary := _BINARY.fullmatch(unit):
        return f"{number} {binary[1].upper()}iB/s"
    amount = int(float(number))
    for power, name in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if amount >= 1000**power and amount % 1000 ** (power - 1) == 0:
            return f"{amount / 1000**power:.3f}".rstrip("0").rstrip(".") + f" {name}/s"
    return f"{amount} B/s"


def _timetable(text: str) -> Timetable:
    if "," not in text:
        return Timetable((Slot(None, 0, _rate(text)),), constant=True)
    entries = _entries(text)
    if len(entries) > _MAX_SLOTS:
        raise InvalidBandwidth(f"Use at most {_MAX_SLOTS} times.")
    slots = tuple(_slot(entry) for entry in entries)
    _refuse_twice(slots)
    return Timetable(slots, constant=False)


def _entries(text: str) -> list[str]:
    """Splits at blanks, except between a number and its unit."""
    entries: list[str] = []
    for part in text.split():
        if entries and entries[-1][-1].isdecimal() and _UNIT.fullmatch(part):
            entries[-1] += part
        else:
            entries.append(part)
    return entries


def _slot(entry: str) -> Slot:
    found = _SLOT.fullmatch(entry)
    if found is None:
        raise InvalidBandwidth(
            f"“{entry[:40]}” needs a limit, such as 19:00,off. A timetable looks like"
            " 08:00,10M 19:00,off."
        )
    day, hour, minute, rate = found.groups()
    if int(hour) > 23 or int(minute) > 59:
        raise InvalidBandwidth(f"{hour}:{minute} is not a time.")
    return Slot(_weekday(day), int(hour) * 60 + int(minute), _rate(rate))


def _weekday(name: str | None) -> int | None:
    if name is None:
        return None
    if name.capitalize() not in WEEKDAYS:
        raise InvalidBandwidth(
            f"“{name}” is not a weekday. Use Mon, Tue, Wed, Thu, Fri, Sat or Sun."
        )
    return WEEKDAYS.index(name.capitalize())


def _rate(text: str) -> str:
    """The rate in rclone's notation. Raises InvalidBandwidth if it could be read in two ways."""
    if text.lower() == OFF:
        return OFF
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise InvalidBandwidth("Use a number and a unit per second, such as 10M or 512k.")
    number, unit = found.groups()
    if not Fraction(number):
        raise InvalidBandwidth(
            "0 is not a limit. For no limit, leave the field empty or enter off."
        )
    amount = _bytes(number, unit)
    if not 1 <= amount <= _LARGEST:
        raise InvalidBandwidth("Use a limit from 1B to 4096P.")
    if _RCLONE.fullmatch(number + unit):
        return number + unit
    if binary := _BINARY.fullmatch(unit.removesuffix("/s")):
        return f"{number}{binary[1].upper()}"
    return f"{int(amount)}B"


def _bytes(number: str, unit: str) -> Fraction:
    """Bytes a second. Raises InvalidBandwidth."""
    amount, name = Fraction(number), unit.removesuffix("/s")
    if not unit:
        raise InvalidBandwidth(
            f"Add a unit: {number}B is bytes per second, {number}K is KiB, {number}M is MiB."
        )
    if found := _BINARY.fullmatch(name):
        return amount * Fraction(1024 ** _POWERS[found[1].lower()])
    if found := _BYTES.fullmatch(name):
        return amount * Fraction(1000 ** _POWERS[found[1].lower()])
    if found := _BITS.fullmatch(name):
        return amount * Fraction(1000 ** _POWERS[found[1].lower()], 8)
    if unit == "b":
        return amount  # as rclone reads it
    if found := _LETTER_ALONE.fullmatch(name):
        prefix = found[1]
        raise InvalidBandwidth(
            f"A lowercase b may mean bytes or bits. Use {number}{prefix}B/s or"
            f" {number}{prefix}bit/s."
        )
    raise InvalidBandwidth("Use a number and a unit per second, such as 10M or 512k.")


def _refuse_twice(slots: tuple[Slot, ...]) -> None:
    seen: set[int] = set()
    for slot in slots:
        if seen.intersection(slot.begins):
            raise InvalidBandwidth(f"{str(slot).partition(',')[0]} appears twice.")
        seen.update(slot.begins)
