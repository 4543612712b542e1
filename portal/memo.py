"""Values that many ask for within the same moment are made once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """Keeps what was made for ``seconds``, of at most ``size`` keys; one for each process."""

    def __init__(self, seconds: float, size: int = 1000) -> None:
        self._seconds = seconds
        self._size = size
        self._kept: dict[Hashable, tuple[float, T]] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        found = self._kept.get(key)
        if found is not None and time.monotonic() - found[0] < self._seconds:
            return found[1]
        asked = time.monotonic()  # before it is made: what changes meanwhile makes it old
        value = make()
        if len(self._kept) >= self._size:
            self._kept.clear()
        self._kept[key] = asked, value
        return value

    def clear(self) -> None:
        self._kept.clear()


#: The dashboard's figures as a fragment, by time zone. A change of status clears it, so that the
#: counts are exact and only bytes and speed may be a second old.
figures: Memo[tuple[str, str]] = Memo(1.0)
