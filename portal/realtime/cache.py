"""Caches for values that many ask for at the same moment: each value is built once."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from portal.runtime.context import current

T = TypeVar("T")


class TTLCache(Generic[T]):
    """Keeps each value for ``seconds``, and values of at most ``size`` keys."""

    def __init__(self, seconds: float, size: int = 1000) -> None:
        self._seconds = seconds
        self._size = size
        self._kept: dict[Hashable, tuple[float, T]] = {}

    def peek(self, key: Hashable) -> T | None:
        """Returns the value if it is kept and still fresh."""
        found = self._kept.get(key)
        return found[1] if found and time.monotonic() - found[0] < self._seconds else None

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        if (found := self.peek(key)) is not None:
            return found
        asked = time.monotonic()  # before the value is built: a change meanwhile makes it old
        value = make()
        if len(self._kept) >= self._size:
            self._kept.clear()
        self._kept[key] = asked, value
        return value

    def drop(self, key: Hashable) -> None:
        self._kept.pop(key, None)

    def clear(self) -> None:
        self._kept.clear()


class StateVersion:
    """Names the state that all jobs are in. The name changes with each change of a job, and differs
    in each process.

    A page contains the name from the moment it was built. When its live connection is open, the
    page compares it with the present name: it sees whether something happened in between of which
    no event will tell it.
    """

    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._changes = 0

    def advance(self) -> None:
        self._changes += 1

    def __str__(self) -> str:
        return f"{self._process}-{self._changes}"


class Row(NamedTuple):
    """A job's row without buttons, its tag, and the job's owner: only owner and admins see more."""

    html: str
    tag: str
    owner_id: int


class Caches:
    """The caches of one application."""

    def __init__(self) -> None:
        self.state_version = StateVersion()
        #: The dashboard's figures as a fragment, by time zone and base path. A change of status
        #: clears it, so that the counts are exact and only bytes and speed may be a second old.
        self.figures: TTLCache[tuple[str, str]] = TTLCache(1.0)
        #: Rows of jobs, by job, time zone and base path. A change of status clears them too.
        self.rows: TTLCache[Row] = TTLCache(1.0)


def caches() -> Caches:
    return current()[Caches]
