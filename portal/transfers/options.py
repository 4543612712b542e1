"""What may be asked of a transfer beside its two ends: typed values, no words for a command line.

The rules are stricter than rclone's: what is accepted here is accepted there, and means the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any

from portal.transfers.names import is_name

MOST_TRANSFERS = 32
MOST_RETRIES = 10
MOST_PATTERNS = 100
PATTERN_LENGTH = 500
#: The longest age, in days, and the largest size, in bytes, that rclone can count.
_LONGEST_DAYS = 36_500
_LARGEST = 2**62

_AGE = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)", re.ASCII | re.IGNORECASE)
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(?:(b)|([kmgt])(b|ib?)?)", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Refused(ValueError):
    """A sentence for whoever typed the value."""


@dataclass(frozen=True, slots=True)
class Options:
    """``min_age`` in seconds, ``max_size`` in bytes, both None for no limit. ``transfers``: files
    at a time. ``retries``: how often rclone is begun again after an error that may pass.
    ``timezone`` is the one by whose clock a timetable of the bandwidth runs."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_age: int | None = None
    max_size: int | None = None
    checksum: bool = False
    verify: bool = False
    transfers: int = 4
    retries: int = 2
    timezone: str = "UTC"
    #: Of a sync: whether a source without a file may empty the destination.
    allow_empty_source: bool = False

    @property
    def filters(self) -> bool:
        """Whether some files may be left out."""
        return bool(self.include or self.exclude or self.min_age or self.max_size)

    def stored(self) -> dict[str, Any]:
        """For a JSON column: what differs from the defaults."""
        usual = asdict(USUAL)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value != usual[name]
        }


def restored(stored: Mapping[str, Any] | None) -> Options:
    """What ``stored`` gave. A field that is not ours any more is left out."""
    known = {field.name for field in fields(Options)}
    values = {name: value for name, value in (stored or {}).items() if name in known}
    for name in ("include", "exclude"):
        values[name] = tuple(values.get(name) or ())
    return Options(**values)


USUAL = Options()


# --- from text ----------------------------------------------------------------------------------


def age(text: str) -> int | None:
    """Seconds; None of an empty text. Raises Refused."""
    text = text.strip()
    if not text:
        return None
    found = _AGE.fullmatch(text)
    if found is None:
        raise Refused("Write a number and a unit: 30min, 12h, 7d or 4w.")
    seconds = int(found[1]) * _SECONDS[found[2].lower()]
    if seconds > _LONGEST_DAYS * 86_400:
        raise Refused(f"Use at most {_LONGEST_DAYS} days.")
    return seconds or None


def size(text: str) -> int | None:
    """Bytes; None of an empty text. ``M`` and ``MiB`` are the same, as they are to rclone; ``MB``
    is what it is everywhere. Raises Refused."""
    text = text.strip()
    if not text:
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise Refused("Write a number and a unit, such as 500M or 1.5G.")
    step = 1000 if (found[4] or "").lower() == "b" else 1024
    amount = int(Fraction(found[1]) * step ** _POWERS[(found[3] or "").lower()])
    if not 0 < amount <= _LARGEST:
        raise Refused("Write a number above 0 and a unit, such as 500M or 1.5G.")
    return amount


def number(text: str, least: int, most: int) -> int:
    """A whole number within both bounds. Raises Refused."""
    text = text.strip()
    if not (re.fullmatch(r"\d{1,4}", text, re.ASCII) and least <= int(text) <= most):
        raise Refused(f"Give a whole number from {least} to {most}.")
    return int(text)


def age_text(seconds: int | None) -> str:
    """As ``age`` reads it: ``7d``."""
    if not seconds:
        return ""
    for unit in ("w", "d", "h", "min"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def size_text(amount: int | None) -> str:
    """As ``size`` reads it: ``500M``."""
    if not amount:
        return ""
    for step, behind in ((1024, ""), (1000, "B")):
        for unit in ("t", "g", "m", "k"):
            whole, rest = divmod(amount, step ** _POWERS[unit])
            if not rest:
                return f"{whole}{unit.upper()}{behind}"
    return f"{amount}B"


# --- patterns -----------------------------------------------------------------------------------


def patterns(lines: list[str]) -> tuple[str, ...]:
    """Patterns as rclone's filters know them, empty lines left out. Raises Refused, with the line
    that is none and why."""
    found = tuple(line.strip() for line in lines if line.strip())
    if len(found) > MOST_PATTERNS:
        raise Refused(f"Use at most {MOST_PATTERNS} patterns.")
    for pattern in found:
        problem = _problem(pattern)
        if problem:
            shown = pattern if len(pattern) <= 60 else f"{pattern[:59]}…"
            raise Refused(f"“{shown}” is no pattern: {problem}")
    return found


def _problem(pattern: str) -> str:
    """Why it is no pattern; empty if it is one."""
    if len(pattern) > PATTERN_LENGTH:
        return f"it is longer than {PATTERN_LENGTH} characters."
    if not is_name(pattern):
        return "it has a line break or a control character."
    if "***" in pattern:
        return "three stars in a row mean nothing; use * or **."
    if "{{" in pattern:
        return "regular expressions are not taken; use *, ?, [a-z] and {jpg,png}."
    return _Brackets(pattern).problem()


class _Brackets:
    """Reads a pattern once from left to right for what must be closed again."""

    def __init__(self, pattern: str) -> None:
        self._rest = list(pattern)
        self._open = False

    def problem(self) -> str:
        while self._rest:
            problem = self._step(self._rest.pop(0))
            if problem:
                return problem
        return "a { is not closed." if self._open else ""

    def _step(self, sign: str) -> str:
        if sign == "\\":
            return self._escape()
        if sign == "[":
            return self._class()
        if sign == "]":
            return "a ] has no [ before it."
        if sign == "{":
            nested, self._open = self._open, True
            return "a { stands within another." if nested else ""
        if sign == "}":
            opened, self._open = self._open, False
            return "" if opened else "a } has no { before it."
        return ""

    def _escape(self) -> str:
        # rclone hands the pair on to its regular expressions, where letters mean other things.
        following = self._rest.pop(0) if self._rest else ""
        if not following.isascii() or following.isalnum() or not following.strip():
            return "a backslash stands before no sign that it could take the meaning of."
        return ""

    def _class(self) -> str:
        if "]" not in self._rest:
            return "a [ is not closed."
        end = self._rest.index("]")
        signs, self._rest = self._rest[:end], self._rest[end + 1 :]
        if signs[:1] == ["!"]:
            return "use [^…] for every character but these."
        inner = "".join(signs[1:] if signs[:1] == ["^"] else signs)
        if not inner:
            return "nothing stands between [ and ]."
        if any(sign in inner for sign in "[\\{}*?/^!&~"):
            return "only plain characters and ranges such as a-z may stand between [ and ]."
        return _ranges(inner)


def _ranges(inner: str) -> str:
    body = inner.removeprefix("-").removesuffix("-")
    position = 0
    while position < len(body):
        if body[position] == "-":
            return "a - between [ and ] stands at the begin, at the end, or within a range."
        if body[position + 1 : position + 2] == "-":
            if body[position] > body[position + 2]:
                return f"the range {body[position : position + 3]} runs backwards."
            position += 2
        position += 1
    return ""
