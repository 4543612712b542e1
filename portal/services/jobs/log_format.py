"""Lines of a job's log as they are stored in a chunk: one text, compressed.

A line is its level (one letter), its time (milliseconds since 1970 in the first line of a chunk,
since that line in the others), a tab, the object, a tab, the message. Object and message contain
neither a tab nor a line break: the engine has made them printable.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

#: From the least to the most serious; a chunk's ``levels`` has a bit for each that occurs in it.
LEVELS = ("debug", "info", "notice", "warning", "error")
_LETTERS = {level: level[0] for level in LEVELS}
_BITS = {level: 1 << number for number, level in enumerate(LEVELS)}
_LEVEL_OF = {letter: level for level, letter in _LETTERS.items()}

CHUNK_LINES = 1_000
CHUNK_CHARACTERS = 64_000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line, with its number. ``milliseconds`` are since 1970."""

    number: int
    milliseconds: int
    level: str
    object: str
    message: str

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.milliseconds / 1000, UTC)

    @property
    def words(self) -> str:
        return f"{self.object}: {self.message}" if self.object else self.message


def bit(level: str) -> int:
    return _BITS[level]


def at_least(level: str) -> int:
    """Returns the bits of this level and of the more serious ones."""
    return sum(bit(one) for one in LEVELS[LEVELS.index(level) :])


def format_line(level: str, milliseconds: int, subject: str, message: str) -> str:
    """``milliseconds`` as they are to be stored: since 1970, or since the chunk's first line."""
    return f"{_LETTERS[level]}{milliseconds}\t{subject}\t{message}"


def pack(lines: Sequence[str]) -> bytes:
    return zlib.compress("\n".join(lines).encode(), 4)


def unpack(data: bytes) -> str:
    return zlib.decompress(data).decode()


def as_words(text: str) -> str:
    """Returns a text that contains the ``words`` of each line."""
    return text.replace("\t", ": ")


def entries(text: str, first_line: int) -> Iterator[LogEntry]:
    begun = 0
    for number, line in enumerate(text.split("\n"), start=first_line):
        head, subject, message = line.split("\t", 2)
        moment = int(head[1:])
        if not begun:
            begun = moment
        else:
            moment += begun
        yield LogEntry(number, moment, _LEVEL_OF[head[0]], subject, message)
