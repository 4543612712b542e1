"""What ties a serving process to the one that started it and looks after it."""

from __future__ import annotations

import os


class Lifeline:
    """``slot``: which of the processes of one port this is, from 0. ``descriptor``: end of a pipe
    to the supervisor; None where nobody supervises."""

    def __init__(self, slot: int = 0, descriptor: int | None = None) -> None:
        self.slot = slot
        self.supervised = descriptor is not None
        self._descriptor = descriptor
        self._parent = os.getppid()

    def ready(self) -> None:
        """Tells the supervisor that visitors may come; ends this process if there is none left."""
        if self._descriptor is None:
            return
        try:
            # Not os.write: the cooperative one tries a broken pipe again and again.
            with open(self._descriptor, "wb", buffering=0, closefd=False) as pipe:
                pipe.write(b"1")
        except BrokenPipeError:
            raise SystemExit(1) from None

    def is_cut(self) -> bool:
        """Whether the supervisor has gone, however it went: nobody would end this process then."""
        return self.supervised and os.getppid() != self._parent
