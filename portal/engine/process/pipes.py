"""Pipes from a program that writes a line for each of many files."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

#: As much as the system gives anybody; what does not fit makes the program wait.
_BYTES = 1024 * 1024
_CHUNK = 256 * 1024
#: Seconds between two reads. rclone writes line by line: read as soon as one is there, each would
#: cost a change of processes. And a green thread that always finds data would let no other run.
_GATHER = 0.005


def large_pipe() -> tuple[int, int]:
    """As ``os.pipe()``."""
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
