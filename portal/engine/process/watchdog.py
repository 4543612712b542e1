"""Ends rclone when this process cannot: it was frozen, or cannot reach the database."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

_ENGINE = Path(__file__).resolve().parents[1]
_PACKAGES = _ENGINE.parents[1]
_TIMEOUT = 5.0

#: Its program. The engine's package imports all that others may need of the engine, which would
#: take four fifths of its start and of its memory; in its place stands one that has only its path.
_PROGRAM = """
import sys, types
engine = sys.modules["portal.engine"] = types.ModuleType("portal.engine")
engine.__path__ = [sys.argv[1]]
from portal.engine.process import watchdog_main
watchdog_main.main(silence=float(sys.argv[2]), grace=float(sys.argv[3]))
"""


VARIABLES = {"PYTHONPATH": str(_PACKAGES), "LANG": "C.UTF-8"}


def program(silence: float, grace: float) -> list[str]:
    """Returns the arguments of the interpreter that runs it."""
    # -S: nothing but the standard library is needed, and so it starts quickly and is small.
    return ["-S", "-c", _PROGRAM, str(_ENGINE), str(silence), str(grace)]


class Watchdog:
    """A separate process, see ``watched``. A group that was not ``kept`` for ``silence`` seconds
    gets SIGKILL; when this process ends, every group gets SIGTERM, and SIGKILL ``grace`` seconds
    later."""

    def __init__(self, silence: float = math.inf, grace: float = 10.0) -> None:
        self._silence = silence
        self._grace = grace
        self._held: dict[int, float] = {}
        self._kept_at = 0.0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._lock:
            self._start()

    def hold(self, leader: int, kept_at: float) -> None:
        """``leader``: process id of the leader of a living group."""
        with self._lock:
            self._held[leader] = kept_at
            self._say(f"hold {leader} {kept_at}")

    def release(self, leader: int) -> None:
        with self._lock:
            self._held.pop(leader, None)
            self._say(f"release {leader}")

    def kept(self, moment: float) -> None:
        """All of them were surely this worker's at that moment of CLOCK_BOOTTIME."""
        with self._lock:
            if moment > self._kept_at:
                self._kept_at = moment
                self._say(f"kept {moment}")

    def close(self, seconds: float | None = None) -> None:
        """Ends all groups that are still held; waits no longer than so many seconds."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_TIMEOUT + self._grace if seconds is None else seconds)

    def _start(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = subprocess.Popen(
            [sys.executable, *program(self._silence, self._grace)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=VARIABLES,
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - narrows the type
        # One that is stuck must not hold up its worker.
        os.set_blocking(self._process.stdin.fileno(), False)

    def _say(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:
            # Somebody killed it. Its successor gets the whole list.
            self._start()
            for leader, kept_at in self._held.items():
                self._write(f"hold {leader} {kept_at}")
            self._write(f"kept {self._kept_at}")
        except BlockingIOError:
            return

    def _write(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{line}\n".encode())
