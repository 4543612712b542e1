"""What goes out to one client: straight to the socket while nothing waits for it.

What a socket does not take waits, bounded: of progress the newest of each job, of everything else
all, in order. Nothing here yields between looking and writing, which is what keeps a client's byte
stream whole.
"""

from __future__ import annotations

import errno
import socket as sockets
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from typing import Any

import eventlet
import structlog
from engineio.socket import Socket
from eventlet.hubs import get_hub

log = structlog.get_logger(__name__)

#: Bytes that may wait for one client here, with what each frame costs beside its bytes. With those
#: in the kernel, which ``connection`` bounds, a client that reads nothing costs at most 256 KiB.
BACKLOG = 128 * 1024
#: Of one frame that waits: the heads of objects, and its place in the dictionary.
FRAME_OVERHEAD = 160
_WRITE_CHUNK = 16 * 1024

Part = tuple[Hashable, bytes]

#: Clients that were dropped, by reason; read by the metrics.
dropped: Counter[str] = Counter()


class SendBuffer(Socket):
    """The writing half of a connection, in place of the stock queue and its greenlet."""

    server: Any
    sid: str

    def __init__(self) -> None:
        # Not the parent's, which makes a queue.
        self.behind_since = 0.0
        self._socket: Any = None
        self.write: Callable[[bytes], int] = gone
        self._mute = False  # nothing more is to be written, or can be
        # None: nothing waits and the socket may be written. Else what waits, by key, in order.
        self._waiting: dict[Hashable, bytes] | None = None
        self._waiting_bytes = 0
        self._rest = b""  # of the frames that the socket took a part of
        self._writing: Any = None

    def abort(self) -> None:
        """Ends the connection for good."""
        raise NotImplementedError

    def deliver(self, run: bytes, parts: Iterable[Part]) -> None:
        """Writes ``run``, which is the frames of ``parts`` joined; never blocks, never yields.
        A later part with the key of one that still waits takes its place."""
        if self._mute:
            return
        if self._waiting is not None:
            for key, data in parts:
                self._wait(key, data)
            return
        try:
            sent = self.write(run)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort()
            return
        if sent < len(run):
            self.start_buffering(sent, parts)

    def start_buffering(self, sent: int, parts: Iterable[Part]) -> None:
        self._waiting, self._waiting_bytes = {}, 0
        self.behind_since = time.monotonic()
        self.server.pings.behind.add(self)
        self.server.pings.slow.add(self)
        hub = get_hub()
        self._writing = hub.add(hub.WRITE, self._socket.fileno(), self._catch_up, never, never)
        for key, data in parts:
            if sent >= len(data):
                sent -= len(data)
            elif sent > 0:
                self._rest, sent = data[sent:], 0
            else:
                self._wait(key, data)

    def _wait(self, key: Hashable, data: bytes) -> None:
        if self._waiting is None or self._mute:
            return
        older = self._waiting.pop(key, None)
        self._waiting_bytes += (
            len(data) - len(older) if older is not None else len(data) + FRAME_OVERHEAD
        )
        self._waiting[key] = data
        if self._waiting_bytes + len(self._rest) > BACKLOG:
            self.drop("backlog")

    def _catch_up(self, _fileno: int) -> None:
        """The socket takes bytes again. The event loop itself calls this, so it must not wait."""
        if self._writing is None:  # removed in the same turn of the loop
            return
        while self._rest or self._waiting:
            if not self._rest:
                self._rest = self._next()
            try:
                self._rest = self._rest[self._socket.send(self._rest) :]
            except BlockingIOError:
                return
            except OSError:
                self.abort()
                return
        self._waiting = None
        self._stop_writing()
        if self._mute:
            self._end_writing()
        else:
            self.server.pings.slow.discard(self)

    def _next(self) -> bytes:
        """A few of the frames that wait. No more than that: of the others, newer values may come
        before their turn."""
        taken, size = [], 0
        waiting = self._waiting or {}
        for key in list(waiting):
            taken.append(waiting.pop(key))
            size += len(taken[-1])
            if size > _WRITE_CHUNK:
                break
        self._waiting_bytes -= size + len(taken) * FRAME_OVERHEAD
        return b"".join(taken)

    def _stop_writing(self) -> None:
        if self._writing is not None:
            get_hub().remove(self._writing)
            self._writing = None
            self.server.pings.behind.discard(self)

    def drop(self, reason: str) -> None:
        """Ends a connection that costs too much; counted."""
        dropped[reason] += 1
        waiting = self._waiting_bytes + len(self._rest)
        self._forget()
        # Not here: it may be the middle of a broadcast, or the event loop itself.
        eventlet.spawn_n(self._dropped, reason, waiting)

    def _dropped(self, reason: str, waiting: int) -> None:
        log.warning("socket dropped", reason=reason, waiting=waiting)
        self.close(abort=True, reason=reason)

    def _end_writing(self) -> None:
        if self._waiting is None and self._socket is not None:
            self._shutdown(sockets.SHUT_WR)

    def _forget(self) -> None:
        self._mute = True
        self._stop_writing()
        self.server.pings.slow.add(self)
        self._waiting, self._waiting_bytes, self._rest = {}, 0, b""

    def _shutdown(self, how: int) -> None:
        with suppress(OSError):  # already gone
            self._socket.shutdown(how)


def gone(_data: bytes) -> int:
    raise OSError(errno.ENOTCONN, "not connected")


def never(*_arguments: object) -> None:
    """For the event loop's questions that concern greenlets."""
