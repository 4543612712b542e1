"""Pipes from a program that writes a line for each of many files."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO

#: As much as the system gives anybody; what does not fit makes the program wait.
_BYTES = 1024 * 1024
_CHUNK = 256 * 1024
#: Seconds between two reads. rclone writes line by line: read as soon as one is there, each would
#: cost a change of processes. And a green thread that always finds data would let no other run.
_GATHER = 0.005
_POLL = 0.05

#: Seconds for which a pipe may stay open and silent when those who wrote to it are dead.
SILENCE = 2.0
#: The same, whatever is read from it.
LONGEST_DRAIN = 30.0


def large_pipe() -> tuple[int, int]:
    """Returns the ends of a pipe that holds more than that of ``os.pipe()``."""
    reading, writing = os.pipe()
    with suppress(OSError):  # of large pipes the system has only so many
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _BYTES)
    return reading, writing


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yields the stream in pieces until its end, and closes it."""
    with stream:
        while chunk := os.read(stream.fileno(), _CHUNK):
            yield chunk
            time.sleep(0 if len(chunk) == _CHUNK else _GATHER)


class PipeReader:
    """Reads a pipe to its end, in a thread of its own."""

    def __init__(
        self,
        stream: IO[bytes],
        take: Callable[[bytes], None],
        end: Callable[[], None],
        *,
        name: str,
    ) -> None:
        """``take`` gets each piece; ``end`` is called after the last. ``name``: the thread's."""
        self.ended = False
        #: Bytes that were read.
        self.length = 0
        self._stream, self._take, self._end = stream, take, end
        #: None while it works at a piece.
        self._waits_since: float | None = time.monotonic()
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def silent_since(self) -> float:
        """Since when there was nothing to read, by the monotonic clock; now, if there is something
        that the thread had no turn for yet."""
        since = self._waits_since
        return time.monotonic() if since is None or self._has_more() else since

    def wait(self, silence: float = SILENCE, longest: float = LONGEST_DRAIN) -> None:
        """Waits for the end; gives up after so many seconds of silence, and after ``longest`` in
        any case: a grandchild may keep the pipe open, or write to it without end."""
        called = time.monotonic()
        while not self.ended:
            moment = time.monotonic()
            if moment > max(called, self.silent_since()) + silence or moment > called + longest:
                return
            self._thread.join(_POLL)

    def _read(self) -> None:
        for chunk in chunks(self._stream):
            self._waits_since = None
            self.length += len(chunk)
            self._take(chunk)
            self._waits_since = time.monotonic()
        self._waits_since = None
        self._end()
        self.ended = True

    def _has_more(self) -> bool:
        # Not by poll, which eventlet takes away.
        try:
            found = fcntl.ioctl(self._stream.fileno(), termios.FIONREAD, bytes(4))
        except (OSError, ValueError):  # closed, after its end
            return False
        return int.from_bytes(found, sys.byteorder) > 0
