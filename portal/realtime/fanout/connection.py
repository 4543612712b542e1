"""One client's connection. After its handshake it leaves the web server and its greenlet: an idle
client is an object and a place in the event loop, and a greenlet runs only while a message is
answered.
"""

from __future__ import annotations

import socket as sockets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import eventlet
import structlog
from engineio import exceptions, packet
from eventlet.hubs import get_hub

from portal.realtime.fanout.send_buffer import (
    SendBuffer,
    dropped,
    gone,
    never,
)
from portal.realtime.fanout.websocket_frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    ProtocolError,
    Reader,
    close_frame,
    frame,
)

log = structlog.get_logger(__name__)

#: Bytes that may wait for one client in the kernel, whose own choice grows to megabytes. It takes
#: twice that for them and its books.
_SEND_BUFFER = 48 * 1024
#: Messages of one client that may wait to be answered.
_INBOX = 16

_ALIVE = str(packet.PONG).encode()
_FAREWELL = frame(packet.Packet(packet.CLOSE).encode().encode()) + close_frame(1000)


class Connection(SendBuffer):
    """In place of the stock socket with its queue and three greenlets."""

    def __init__(self, server: Any, sid: str, ended: Callable[[], None]) -> None:
        super().__init__()
        self.server = server
        self.sid = sid
        self.session: dict[str, Any] = {}
        self.connected = self.upgraded = True
        self.upgrading = self.closing = self.closed = False
        self.last_ping: float | None = 0.0
        self._ended = ended
        self._reader = Reader(server.max_http_buffer_size)
        self._reading: Any = None
        self._over = False  # nothing more is to be read
        self._credit = server.burst  # messages that may come now
        self._credited_at = time.monotonic()
        self._inbox: deque[tuple[int, bytes]] | None = None  # None: nobody is answering

    def open(self, taken: Any, greeting: bytes, early: bytes = b"") -> None:
        """Goes on with a socket that the web server gave away, and what it had read of it."""
        self._socket = taken
        self.write = taken.send
        with suppress(OSError):  # it may be gone already; the first write tells
            taken.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
            taken.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        self._listen()
        self.deliver(greeting, [(object(), greeting)])
        self._feed(early)

    # --- what engine.io calls ---

    def send(self, pkt: packet.Packet) -> None:
        if self.closed:
            raise exceptions.SocketIsClosedError
        encoded = pkt.encode()
        data = frame(encoded.encode()) if isinstance(encoded, str) else frame(encoded, BINARY)
        self.deliver(data, [(object(), data)])

    def schedule_ping(self) -> None:
        if self.last_ping is not None:  # the client answered: the next one after the interval
            self.last_ping = None
            self.server.pings.add(self)

    def check_ping_timeout(self) -> bool:
        return not self.closed

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """Without ``abort`` the client gets what waits for it and a close frame, and is given a
        moment to hang up itself."""
        if not self.closing:
            self.closing = True
            self.server._trigger_event(
                "disconnect",
                self.sid,
                reason or self.server.reason.SERVER_DISCONNECT,
                run_async=False,
            )
            if not abort:
                self.deliver(_FAREWELL, [(object(), _FAREWELL)])
                self.server.pings.close_gracefully(self)
            self.closed = self._mute = True
            self.server.pings.slow.add(self)
            self._end_writing()
        if abort:
            self.abort()

    # --- reading: called by the event loop itself, so that nothing here may wait ---

    def _listen(self) -> None:
        hub = get_hub()
        fileno = self._socket.fileno()
        self._reading = hub.add(hub.READ, fileno, self._read, never, never)

    def _read(self, _fileno: int) -> None:
        if self._reading is None:  # removed in the same turn of the loop
            return
        try:
            data = self._socket.recv(16384)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(self.server.reason.TRANSPORT_CLOSE)
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            for kind, payload in self._reader.feed(data):
                self._charge()
                self._take(kind, payload)
        except ProtocolError as broken:
            self._control(close_frame(broken.code))
            self._end(self.server.reason.TRANSPORT_ERROR)

    def _charge(self) -> None:
        """Counts a message of whatever kind, before anything is done for it."""
        moment = time.monotonic()
        earned = (moment - self._credited_at) * self.server.rate
        self._credit = min(self.server.burst, self._credit + earned) - 1
        self._credited_at = moment
        if self._credit < 0:
            dropped["flood"] += 1
            # Not here: this runs in the event loop itself, and a log line may wait.
            eventlet.spawn_n(log.warning, "socket dropped", reason="flood")
            raise ProtocolError(1008, "too many messages")

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            self._control(frame(payload, PONG))
        elif kind == CLOSE:
            self._control(frame(payload[:2], CLOSE))
            self._end(self.server.reason.TRANSPORT_CLOSE)
        elif payload == _ALIVE:
            self.schedule_ping()
        elif kind != PONG:
            self._put(kind, payload)

    def _put(self, kind: int, payload: bytes) -> None:
        if self._inbox is None:
            self._inbox = deque([(kind, payload)])
            eventlet.spawn_n(self._answer)
            return
        self._inbox.append((kind, payload))
        if len(self._inbox) > _INBOX:
            self._stop_reading()  # until those are answered

    def _answer(self) -> None:
        """The greenlet in which messages are handled, one after the other."""
        while self._inbox and not self._over:
            kind, payload = self._inbox.popleft()
            try:
                data = payload if kind == BINARY else payload.decode()
                self.receive(packet.Packet(encoded_packet=data))
            except (exceptions.EngineIOError, ValueError) as error:
                log.info("socket broke the protocol", reason=repr(error))
                self.close(abort=True, reason=self.server.reason.TRANSPORT_ERROR)
        self._inbox = None
        if self._reading is None and not self._over:
            self._listen()

    def _end(self, reason: str) -> None:
        self._over = True
        self._stop_reading()
        eventlet.spawn_n(self._close, reason)

    def _close(self, reason: str) -> None:
        self.close(abort=True, reason=reason)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            get_hub().remove(self._reading)
            self._reading = None

    def _control(self, data: bytes) -> None:
        self.deliver(data, [(object(), data)])

    def abort(self) -> None:
        """Ends the connection for good."""
        self._forget()
        self._stop_reading()
        if self._socket is not None:
            self._shutdown(sockets.SHUT_RDWR)
            # After the listeners: the number of a closed socket is soon another client's.
            self._socket.close()
            self._socket, self.write = None, gone
            if not self.closing:
                self._end(self.server.reason.TRANSPORT_ERROR)
            self._over = True
            self.server.sockets.pop(self.sid, None)
            self._ended()
        self.server.pings.slow.discard(self)  # a closed socket refuses by itself
