"""A line to a storage that is slow, or that breaks."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Nothing that is still under way arrives.
_RESET = struct.pack("ii", 1, 0)


class Link:
    """Carries connections to ``port``, ``rate`` bytes a second in each direction of each one. The
    first ``breaks`` of them break when they have carried ``after`` bytes to the client or, where
    ``sent`` is asked for, from it."""

    def __init__(
        self, port: int, rate: int, *, breaks: int = 0, after: int = 0, sent: bool = False
    ) -> None:
        self.port_behind, self.rate = port, rate
        self.breaks, self._after, self._counts_sent = breaks, after, sent
        self.carried = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._ends: list[socket.socket] = []
        self._threads[0].start()

    def close(self) -> None:
        """Whatever is still under way breaks."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in self._ends:
            end.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port_behind), 10)
            self._ends += [near, far]
            for source, target in ((near, far), (far, near)):
                limited = (source is near) == self._counts_sent
                args = (source, target, limited)
                carrying = threading.Thread(target=self._carry, args=args, daemon=True)
                self._threads.append(carrying)
                carrying.start()

    def _carry(self, source: socket.socket, target: socket.socket, limited: bool) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while part := source.recv(max(1, self.rate // 20)):
                target.sendall(part)
                self.carried += len(part)
                carried += len(part)
                if limited and self.breaks and carried >= self._after:
                    self.breaks -= 1
                    for end in (source, target):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        end.shutdown(socket.SHUT_RDWR)
                    return
                time.sleep(len(part) / self.rate)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def slow(port: int, rate: int) -> Iterator[Link]:
    link = Link(port, rate)
    try:
        yield link
    finally:
        link.close()


@contextmanager
def breaking(port: int, rate: int, *, breaks: int, after: int, sent: bool) -> Iterator[Link]:
    link = Link(port, rate, breaks=breaks, after=after, sent=sent)
    try:
        yield link
    finally:
        link.close()
