"""Pings all clients from one greenlet."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import eventlet
from engineio import packet

from portal.realtime.fanout.connection import Connection
from portal.realtime.fanout.websocket_frames import frame

_CLOSE_SECONDS = 5.0
_TICK_SECONDS = 0.25

_PING = frame(packet.Packet(packet.PING).encode().encode())


class PingScheduler:
    """Pings each client when its ping is due, and drops those that do not answer or do not read."""

    def __init__(self, server: Any) -> None:
        self._interval = server.ping_interval
        self._timeout = server.ping_timeout
        self._due: deque[tuple[float, Connection]] = deque()
        self._unanswered: deque[tuple[float, Connection]] = deque()
        self._leaving: deque[tuple[float, Connection]] = deque()
        #: Clients with a send buffer, and the time since when they have it.
        self.behind: dict[Connection, float] = {}
        #: Those clients and the ones that are closing: only ``Connection.deliver`` may write to
        #: them.
        self.slow: set[Connection] = set()

    def add(self, connection: Connection) -> None:
        self._due.append((time.monotonic() + self._interval, connection))

    def close_gracefully(self, connection: Connection) -> None:
        self._leaving.append((time.monotonic() + _CLOSE_SECONDS, connection))

    def run(self) -> None:
        while True:
            self.tick(time.monotonic())
            eventlet.sleep(_TICK_SECONDS)

    def tick(self, moment: float) -> None:
        for _, connection in _pop_until(self._due, moment):
            if not connection.closed:
                connection.last_ping = moment
                connection.deliver(_PING, [(_PING, _PING)])
                self._unanswered.append((moment, connection))
        for asked, connection in _pop_until(self._unanswered, moment - self._timeout):
            if not connection.closed and connection.last_ping == asked:
                connection.server.drops["ping timeout"] += 1
                connection.close(abort=True, reason=connection.server.reason.PING_TIMEOUT)
        for connection, since in list(self.behind.items()):
            if moment - since > self._timeout:
                connection.drop("slow")
        for _, connection in _pop_until(self._leaving, moment):
            connection.close(abort=True)


def _pop_until(
    entries: deque[tuple[float, Connection]], moment: float
) -> Iterable[tuple[float, Connection]]:
    while entries and entries[0][0] <= moment:
        yield entries.popleft()
