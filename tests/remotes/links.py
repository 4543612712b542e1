"""A line to a storage that is slow, or that breaks."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Link:
    """Carries connections to ``port``, ``rate`` bytes a second in each direction of each one."""

    def __init__(self, port: int, rate: int) -> None:
        self.port_behind, self.rate = port, rate
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
                carrying = threading.Thread(target=self._carry, args=(source, target), daemon=True)
                self._threads.append(carrying)
                carrying.start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(max(1, self.rate // 20)):
                target.sendall(part)
                self.carried += len(part)
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
