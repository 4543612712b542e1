"""Holds rclone's log between the reader of stderr and the worker, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

MAX_LINES = 8_000
MAX_CHARACTERS = 4_000_000


class LogLine(NamedTuple):
    """``at`` is seconds since 1970 (UTC), ``level`` one of ``LEVELS``; ``object`` is the file or
    the side that it is about, or empty. Both texts are one printable line, credentials masked."""

    at: float
    level: str
    object: str
    message: str


class Backlog:
    """Lines that wait to be taken. What comes faster than it is taken is counted, not kept."""

    def __init__(self, lines: int = MAX_LINES, characters: int = MAX_CHARACTERS) -> None:
        self._most_lines, self._most_characters = lines, characters
        self._lines: list[LogLine] = []
        self._characters = 0
        self._left_out = 0
        self._lock = threading.Lock()

    def add(self, lines: Iterable[LogLine]) -> None:
        with self._lock:
            characters, kept = self._characters, self._lines
            for line in lines:
                characters += len(line.object) + len(line.message)
                if len(kept) < self._most_lines and characters <= self._most_characters:
                    kept.append(line)
                else:
                    self._left_out += 1
            self._characters = characters

    @property
    def is_filling(self) -> bool:
        """Whether it should be taken soon: whoever takes it then loses no line."""
        return (
            len(self._lines) > self._most_lines // 2
            or self._characters > self._most_characters // 2
        )

    def take(self) -> tuple[list[LogLine], int]:
        """All of them, oldest first, and how many after these were left out."""
        with self._lock:
            taken = self._lines, self._left_out
            self._lines, self._characters, self._left_out = [], 0, 0
        return taken
