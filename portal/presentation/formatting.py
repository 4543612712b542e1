"""Formats figures, times and names."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from portal.db.clock import now
from portal.transfers.counted import counted
from portal.transfers.names import visible

UNKNOWN = "–"


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(number: int | None) -> str:
    """Bytes in binary units: ``0 B``, ``1.5 KiB``, ``41.2 GiB``; a dash for unknown."""
    if number is None:
        return UNKNOWN
    value, unit = _scaled(number)
    return f"{value} {unit}"


def size_of(part: int, whole: int | None) -> str:
    """``1.2 of 4.0 GiB``; the unit is written once if both share it."""
    if whole is None:
        return size(part)
    value, unit = _scaled(part)
    whole_value, whole_unit = _scaled(whole)
    if unit == whole_unit:
        return f"{value} of {whole_value} {unit}"
    return f"{value} {unit} of {whole_value} {whole_unit}"


def speed(number: int | None) -> str:
    return UNKNOWN if not number else f"{size(number)}/s"


def speed_of(part: int, whole: int) -> str:
    """``1.2 of 10 MiB/s``: a speed, and the highest that is allowed, in the unit of that one where
    it is large enough."""
    value, unit = _scaled(whole)
    most = f"{value.removesuffix('.0')} {unit}/s"
    scaled = part / 1024 ** _UNITS.index(unit)
    if not part or unit == "B":
        return f"{part} of {most}"
    return f"{scaled:.1f} of {most}" if scaled >= 0.1 else f"{size(part)}/s of {most}"


def duration(seconds: float | None) -> str:
    """``45 s``, ``12 min 5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, int(seconds))
    for unit, length, smaller, step in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= length:
            rest = whole % length // step
            return (
                f"{whole // length} {unit} {rest} {smaller}"
                if rest
                else f"{whole // length} {unit}"
            )
    return f"{whole} s"


def count(number: int) -> str:
    return f"{number:,}"


def files(number: int) -> str:
    return counted(number, "file")


def percent(number: float | None) -> str:
    """Whole percent, rounded down: 99.9 is not yet 100."""
    return UNKNOWN if number is None else f"{int(number)} %"


def relative(moment: datetime | None) -> str:
    """``just now``, ``5 min ago``, up to a day; after that the date. The page is renewed every
    minute."""
    if moment is None:
        return UNKNOWN
    age = now() - moment
    if age < timedelta(minutes=1):
        return "just now"
    if age < timedelta(hours=1):
        return f"{int(age.total_seconds() // 60)} min ago"
    if age < timedelta(days=1):
        return f"{int(age.total_seconds() // 3600)} h ago"
    return moment.strftime("%-d %b %Y")


def exact(moment: datetime | None, timezone: str) -> str:
    """``22 Nov 2026, 14:05:10`` in the reader's zone."""
    if moment is None:
        return UNKNOWN
    return moment.astimezone(ZoneInfo(timezone)).strftime("%-d %b %Y, %H:%M:%S")


def clock_time(moment: datetime, timezone: str) -> str:
    """``14:05:10`` in the reader's zone."""
    return moment.astimezone(ZoneInfo(timezone)).strftime("%H:%M:%S")


def today(timezone: str) -> str:
    """``2026-11-22`` in the reader's zone."""
    return now().astimezone(ZoneInfo(timezone)).date().isoformat()


def shorten(path: str, length: int = 48) -> str:
    """A long path without its middle."""
    if len(path) <= length:
        return path
    keep = (length - 1) // 2
    return f"{path[:keep]}…{path[-keep:]}"


def printable(text: str) -> str:
    """Text of a file system or a person, safe to show and to send. Invalid characters, and those
    that would move the cursor or change the reading direction, become visible."""
    return visible(text)


def _scaled(number: int) -> tuple[str, str]:
    value = float(number)
    for unit in _UNITS:
        # From this value on, one decimal would round up to 1024.0.
        if value < 1023.95 or unit == _UNITS[-1]:
            return (str(number), unit) if unit == "B" else (f"{value:.1f}", unit)
        value /= 1024
    raise AssertionError


def mean_speed(moved: int, seconds: int | None) -> int | None:
    """Bytes a second on average; None if nothing was moved or the time is unknown."""
    return moved // max(1, seconds) if moved and seconds is not None else None


def sparkline(values: tuple[int, ...]) -> str:
    """Points of a polyline in a box of 100 by 20, with the last value at the right."""
    highest = max(values) or 1
    step = 100 / (len(values) - 1)
    return " ".join(
        f"{index * step:.1f},{19 - 18 * value / highest:.1f}" for index, value in enumerate(values)
    )
