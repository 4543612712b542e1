"""The pipe from a serving process to the supervisor that started it."""

from __future__ import annotations

import os


class SupervisorPipe:
    """``slot``: the number of this process among those of one port, from 0. ``descriptor``: the
    end of the pipe that is written to; None without a supervisor."""

    def __init__(self, slot: int = 0, descriptor: int | None = None) -> None:
        self.slot = slot
        self.supervised = descriptor is not None
        self._descriptor = descriptor
        self._parent = os.getppid()

    def ready(self) -> None:
        """Tells the supervisor that this process serves; ends it if the supervisor is gone."""
        if self._descriptor is None:
            return
        try:
            # Not os.write: eventlet's tries a broken pipe again and again.
            with open(self._descriptor, "wb", buffering=0, closefd=False) as pipe:
                pipe.write(b"1")
        except BrokenPipeError:
            raise SystemExit(1) from None

    def supervisor_is_gone(self) -> bool:
        """Whether the supervisor has ended, in whatever way: nobody else would end this process."""
        return self.supervised and os.getppid() != self._parent
