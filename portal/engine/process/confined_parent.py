"""A thread that confines itself, starts one program, and stays until that has ended.

Landlock restricts the thread that asks for it and the programs that this thread starts. So rclone
needs no launcher, and no Python runs between fork and exec. The thread has to stay: the kernel
tells rclone to end when its parent thread ends.
"""

from __future__ import annotations

import errno
import gc
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from subprocess import Popen, SubprocessError

from portal.engine.process.landlock import Ruleset

#: Threads of the system, not green ones: to the kernel, all green threads are one.
_Thread: Callable[..., threading.Thread] = threading.Thread
_starting = threading.Lock()


def use_threads(thread: Callable[..., threading.Thread]) -> None:
    """Sets the constructor of system threads, for processes whose threads are green."""
    global _Thread  # noqa: PLW0603 - one process, one kind, chosen once at its start
    _Thread = thread


class ConfinedParent:
    """``process`` was started by ``start`` under these rules."""

    def __init__(self, start: Callable[[], Popen[bytes]], rules: Ruleset) -> None:
        """Raises what ``start`` raises, and OSError if the thread could not be confined."""
        result = _Result()
        ready, writing = os.pipe()
        until, self._release = os.pipe()
        # Objects that the collector frees in a confined thread could not remove their files, which
        # are out of its reach.
        with _starting:
            collects = gc.isenabled()
            gc.disable()
            try:
                _Thread(
                    target=_start_and_wait,
                    args=(start, rules, result, writing, until, threading.get_native_id()),
                    name="rclone-parent",
                    daemon=True,
                ).start()
                os.read(ready, 1)
            finally:
                os.close(ready)
                rules.close()
                if collects:
                    gc.enable()
        if result.process is None:
            self.end()
            raise result.error or OSError(errno.EPERM, "The thread ended at once")
        self.process = result.process

    def end(self) -> None:
        """The program has ended."""
        if self._release >= 0:
            os.close(self._release)
            self._release = -1

    def __del__(self) -> None:
        self.end()  # Nobody waits for it any more: the program has to end.


@dataclass(slots=True)
class _Result:
    process: Popen[bytes] | None = None
    error: Exception | None = None


def _start_and_wait(
    start: Callable[[], Popen[bytes]],
    rules: Ruleset,
    result: _Result,
    ready: int,
    until: int,
    caller: int,
) -> None:
    if threading.get_native_id() == caller:
        # A green thread: all of the portal would be confined, and wait here.
        result.error = OSError(errno.EPERM, "No thread of the system could be started")
        os.close(ready)
        os.close(until)
        return
    try:
        rules.restrict_this_thread()
        result.process = start()
    except (OSError, SubprocessError, ValueError) as error:
        result.error = error
    finally:
        os.close(ready)
    os.read(until, 1)
    os.close(until)
