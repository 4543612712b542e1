"""The slots of one worker process: how many jobs it runs at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Slots:
    """``freed`` is called whenever a slot is free for a job that is not running yet."""

    def __init__(self, number: int, freed: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._free = number
        self._freed = freed
        #: Resumed jobs without a slot, in the order in which they were resumed.
        self._resumed: deque[JobSlot] = deque()

    @property
    def has_room(self) -> bool:
        """Whether a slot is free beside those that resumed jobs wait for."""
        return self._free > len(self._resumed)

    def take(self) -> JobSlot | None:
        """Returns a slot for another job; None if there is no room."""
        with self._lock:
            if not self.has_room:
                return None
            self._free -= 1
        return JobSlot(self)

    def _regain(self, slot: JobSlot) -> bool:
        with self._lock:
            if slot not in self._resumed:
                self._resumed.append(slot)
            if self._resumed.index(slot) >= self._free:
                return False
            self._resumed.remove(slot)
            self._free -= 1
            return True

    def _free_one(self) -> None:
        with self._lock:
            self._free += 1
        self._freed()

    def _forget(self, slot: JobSlot) -> None:
        with self._lock:
            if slot not in self._resumed:
                return
            self._resumed.remove(slot)
        self._freed()


class JobSlot:
    """The slot of one job, which it may give back while it is paused. Used by one thread."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.held = True

    def release(self) -> None:
        """Releasing it again does no harm."""
        self._slots._forget(self)
        if self.held:
            self.held = False
            self._slots._free_one()

    def regain(self) -> bool:
        """Returns whether the job has a slot again. Asked often; the first one that asked gets the
        first slot that is free."""
        self.held = self.held or self._slots._regain(self)
        return self.held
