"""Kinds of options: how each is read from a form or from JSON, and written as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from portal.transfers.patterns import problem
from portal.transfers.states import Operation

MAX_PATTERNS = 100
#: The longest age, in days, and the largest size, in bytes, that rclone can count.
_LONGEST_DAYS = 36_500
_LARGEST = 2**62

_AGE = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)", re.ASCII | re.IGNORECASE)
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(?:(b)|([kmgt])(b|ib?)?)", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class InvalidOption(ValueError):
    """A sentence for the person who typed the value."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of file names: a text with one on each line, or a list."""

    def parse(self, raw: Any, operation: str, default: Any) -> tuple[str, ...]:
        return parse_patterns(raw.splitlines() if isinstance(raw, str) else raw or ())

    def text(self, value: Any) -> str:
        return ", ".join(value)


@dataclass(frozen=True, slots=True)
class Age:
    """A time such as ``12h``, kept in seconds; None for no limit."""

    def parse(self, raw: Any, operation: str, default: Any) -> int | None:
        return parse_age(raw or "")

    def text(self, value: Any) -> str:
        return format_age(value)


@dataclass(frozen=True, slots=True)
class Size:
    """A size such as ``500M``, kept in bytes; None for no limit."""

    def parse(self, raw: Any, operation: str, default: Any) -> int | None:
        return parse_size(raw or "")

    def text(self, value: Any) -> str:
        return format_size(value)


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within both bounds; an empty text stands for the default."""

    least: int
    most: int

    def parse(self, raw: Any, operation: str, default: Any) -> int:
        text = "" if raw is None else str(raw)
        return parse_number(text, self.least, self.most) if text.strip() else int(default)

    def text(self, value: Any) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no. Where it is not meant for an operation it counts as no, or is refused with a
    sentence. ``words``: what the page of a job says if it was chosen."""

    operations: frozenset[Operation] = frozenset(Operation)
    refused: Mapping[Operation, str] = field(default_factory=dict)
    words: str = "yes"

    def parse(self, raw: Any, operation: str, default: Any) -> bool:
        if not raw:
            return False
        if operation in self.refused:
            raise InvalidOption(self.refused[Operation(operation)])
        return operation in self.operations

    def text(self, value: Any) -> str:
        return self.words if value else ""


Kind = Patterns | Age | Size | Number | Flag


# --- values -------------------------------------------------------------------------------------


def parse_patterns(lines: Any) -> tuple[str, ...]:
    """Patterns as rclone's filters know them, without empty lines. Raises InvalidOption, which
    names the bad line and says why."""
    found = tuple(line.strip() for line in lines if line.strip())
    if len(found) > MAX_PATTERNS:
        raise InvalidOption(f"Use at most {MAX_PATTERNS} patterns.")
    for pattern in found:
        if reason := problem(pattern):
            shown = pattern if len(pattern) <= 60 else f"{pattern[:59]}…"
            raise InvalidOption(f"“{shown}” is not a valid pattern: {reason}")
    return found


def parse_age(text: str) -> int | None:
    """Seconds; None for an empty text. Raises InvalidOption."""
    text = text.strip()
    if not text:
        return None
    found = _AGE.fullmatch(text)
    if found is None:
        raise InvalidOption("Use a number and a unit: 30min, 12h, 7d or 4w.")
    seconds = int(found[1]) * _SECONDS[found[2].lower()]
    if seconds > _LONGEST_DAYS * 86_400:
        raise InvalidOption(f"Use at most {_LONGEST_DAYS} days.")
    return seconds or None


def parse_size(text: str) -> int | None:
    """Bytes; None for an empty text. ``M`` and ``MiB`` are the same, as they are to rclone; ``MB``
    is what it is everywhere. Raises InvalidOption."""
    text = text.strip()
    if not text:
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidOption("Use a number and a unit, such as 500M or 1.5G.")
    step = 1000 if (found[4] or "").lower() == "b" else 1024
    amount = int(Fraction(found[1]) * step ** _POWERS[(found[3] or "").lower()])
    if not 0 < amount <= _LARGEST:
        raise InvalidOption("Use a number above 0 and a unit, such as 500M or 1.5G.")
    return amount


def parse_number(text: str, least: int, most: int) -> int:
    """A whole number within both bounds. Raises InvalidOption."""
    text = text.strip()
    if not (re.fullmatch(r"\d{1,4}", text, re.ASCII) and least <= int(text) <= most):
        raise InvalidOption(f"Enter a whole number from {least} to {most}.")
    return int(text)


def format_age(seconds: int | None) -> str:
    """As ``parse_age`` reads it: ``7d``."""
    if not seconds:
        return ""
    for unit in ("w", "d", "h", "min"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def format_size(amount: int | None) -> str:
    """As ``parse_size`` reads it: ``500M``."""
    if not amount:
        return ""
    for step, behind in ((1024, ""), (1000, "B")):
        for unit in ("t", "g", "m", "k"):
            whole, rest = divmod(amount, step ** _POWERS[unit])
            if not rest:
                return f"{whole}{unit.upper()}{behind}"
    return f"{amount}B"
