"""The pings of all clients, by one greenlet."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import eventlet
from engineio import packet

from portal.realtime.fanout.connection import Wire
from portal.realtime.fanout.send_buffer import dropped
from portal.realtime.fanout.websocket_frames import frame

_LAST_WORDS = 5.0
_BEAT = 0.25

_PING = frame(packet.Packet(packet.PING).encode().encode())


class Pulse:
    """One greenlet that pings every client when its turn comes, and ends those that stay silent."""

    def __init__(self, server: Any) -> None:
        self._interval = server.ping_interval
        self._timeout = server.ping_timeout
        self._due: deque[tuple[float, Wire]] = deque()
        self._asked: deque[tuple[float, Wire]] = deque()
        self._leaving: deque[tuple[float, Wire]] = deque()
        #: Clients for which something waits.
        self.behind: set[Wire] = set()
        #: Those, and clients that are leaving: whose sockets only ``Wire.deliver`` may write to.
        self.apart: set[Wire] = set()

    def add(self, wire: Wire) -> None:
        self._due.append((time.monotonic() + self._interval, wire))

    def see_off(self, wire: Wire) -> None:
        self._leaving.append((time.monotonic() + _LAST_WORDS, wire))

    def run(self) -> None:
        while True:
            self.beat(time.monotonic())
            eventlet.sleep(_BEAT)

    def beat(self, moment: float) -> None:
        for _, wire in _until(self._due, moment):
            if not wire.closed:
                wire.last_ping = moment
                wire.deliver(_PING, [(_PING, _PING)])
                self._asked.append((moment, wire))
        for asked, wire in _until(self._asked, moment - self._timeout):
            if not wire.closed and wire.last_ping == asked:
                dropped["ping timeout"] += 1
                wire.close(abort=True, reason=wire.server.reason.PING_TIMEOUT)
        for wire in [one for one in self.behind if moment - one.behind_since > self._timeout]:
            wire.drop("slow")
        for _, wire in _until(self._leaving, moment):
            wire.hang_up()


def _until(entries: deque[tuple[float, Wire]], moment: float) -> Iterable[tuple[float, Wire]]:
    while entries and entries[0][0] <= moment:
        yield entries.popleft()
