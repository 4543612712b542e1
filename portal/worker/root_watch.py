"""Watches whether the folders that are open to transfers exist on the machine of a worker.

A thread of its own checks them: a network disk that hangs would delay the heartbeat, and the worker
would count as dead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

#: Seconds after which a check counts as hanging.
_TIMEOUT = 10.0
_HANGS = "A folder that is open to transfers does not answer: the disk behind it hangs."


class RootWatch:
    """``look`` returns a sentence for each missing folder; it is called every ``pause`` seconds."""

    def __init__(
        self, look: Callable[[], Sequence[str]], pause: float, patience: float = _TIMEOUT
    ) -> None:
        self._look, self._pause, self._patience = look, pause, patience
        self._found: tuple[str, ...] = ()
        self._began: float | None = None
        self._looked = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="roots", daemon=True)

    def start(self) -> None:
        """Returns once the folders were checked for the first time, or after a short wait if they
        hang."""
        self._thread.start()
        self._looked.wait(min(1.0, self._patience))

    def stop(self) -> None:
        self._ended.set()

    @property
    def problems(self) -> list[str]:
        began = self._began
        if began is not None and time.monotonic() - began > self._patience:
            return [_HANGS]
        return list(self._found)

    def _run(self) -> None:
        while True:
            self._began = time.monotonic()
            try:
                self._found = tuple(self._look())
            except OSError as error:
                self._found = (f"The folders cannot be looked at: {error.strerror}.",)
            self._began = None
            self._looked.set()
            if self._ended.wait(self._pause):
                return
