"""Frames that wait until a client's socket takes more bytes.

Of progress events only the newest of each job waits; all other events wait in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

#: Bytes that may wait here for one client, including the overhead of each frame. Together with the
#: kernel's buffer, which ``connection`` limits, a client that reads nothing costs at most 256 KiB.
BACKLOG = 128 * 1024
#: Bytes of Python overhead per waiting frame: object headers and the dictionary entry.
FRAME_OVERHEAD = 160
_WRITE_CHUNK = 16 * 1024

Part = tuple[Hashable, bytes]


class DropCounts(Counter[str]):
    """Clients of one application that were dropped, by reason; read by the metrics."""


class SendBuffer:
    __slots__ = ("_chunk", "_frames", "_frames_size")

    def __init__(self, parts: Iterable[Part], sent: int) -> None:
        """``parts`` are frames, the first ``sent`` bytes of which are already written."""
        self._frames: dict[Hashable, bytes] = {}  # by key, in order
        self._frames_size = 0
        self._chunk = b""  # taken from the frames; the socket may have accepted a part of it
        for key, data in parts:
            if sent >= len(data):
                sent -= len(data)
            elif sent > 0:
                self._chunk, sent = data[sent:], 0
            else:
                self.add(key, data)

    @property
    def size(self) -> int:
        return self._frames_size + len(self._chunk)

    def add(self, key: Hashable, data: bytes) -> None:
        """Appends a frame. Removes a waiting one with the same key."""
        older = self._frames.pop(key, None)
        self._frames_size += len(data) + FRAME_OVERHEAD
        if older is not None:
            self._frames_size -= len(older) + FRAME_OVERHEAD
        self._frames[key] = data

    def chunk(self) -> bytes:
        """Returns the next bytes to write; empty if nothing waits.

        Takes only a few frames, because newer ones may still replace the others.
        """
        if not self._chunk:
            taken, size = [], 0
            for key in list(self._frames):
                taken.append(self._frames.pop(key))
                size += len(taken[-1])
                if size > _WRITE_CHUNK:
                    break
            self._frames_size -= size + len(taken) * FRAME_OVERHEAD
            self._chunk = b"".join(taken)
        return self._chunk

    def advance(self, sent: int) -> None:
        """Notes that ``sent`` bytes of the chunk were written."""
        self._chunk = self._chunk[sent:]
