"""One client's connection. After its handshake it leaves the web server and its greenlet: an idle
client is an object and an entry in the event loop, and a greenlet runs only while a message of the
client is handled.

Events are written straight to the socket. Bytes that the socket does not take wait in a
``SendBuffer``. Nothing here yields between checking the state and writing, so a client's byte
stream stays whole.
"""

from __future__ import annotations

import errno
import socket as sockets
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from typing import Any

import eventlet
import structlog
from engineio import exceptions, packet
from engineio.socket import Socket
from eventlet.hubs import get_hub

from portal.realtime.fanout import client_packets
from portal.realtime.fanout.send_buffer import BACKLOG, Part, SendBuffer
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

#: Bytes that may wait for one client in the kernel, whose default grows to megabytes. The kernel
#: allocates twice as much, for its own overhead.
_KERNEL_BUFFER = 48 * 1024
#: Messages of one client that may wait to be handled.
_INBOX = 16

_ALIVE = str(packet.PONG).encode()
_CLOSE_FRAMES = frame(packet.Packet(packet.CLOSE).encode().encode()) + close_frame(1000)


class State(Enum):
    """A connection goes from one to a later one, never back."""

    OPEN = "it reads and writes"
    FAILED = "it neither reads nor writes; a greenlet is about to close it"
    CLOSING = "the close frame is the last that is written; it reads until the client hangs up"
    CLOSED = "the socket is closed"


class Connection(Socket):
    """Replaces Engine.IO's socket, which has a queue and three greenlets."""

    # Engine.IO asks for these. There is nothing to upgrade from: the connection is a WebSocket.
    connected = upgraded = True
    upgrading = False

    def __init__(self, server: Any, sid: str, ended: Callable[[], None]) -> None:
        # The parent's __init__ is not called: it makes a queue.
        self.server = server
        self.sid = sid
        self.session: dict[str, Any] = {}
        self.last_ping: float | None = 0.0
        self.write: Callable[[bytes], int] = _not_connected
        self._state = State.OPEN
        self._ended = ended
        self._socket: Any = None
        self._buffer: SendBuffer | None = None  # None: the socket takes whatever is written
        self._writing: Any = None
        self._reader = Reader(server.max_http_buffer_size)
        self._reading: Any = None
        self._credit = server.burst  # messages that the client may send now
        self._credited_at = time.monotonic()
        self._inbox: deque[bytes] | None = None  # None: no greenlet handles messages

    def open(self, taken: Any, greeting: bytes, early: bytes = b"") -> None:
        """Takes over a socket from the web server, and the bytes that were already read from it."""
        self._socket = taken
        self.write = taken.send
        with suppress(OSError):  # the client may be gone already; the first write notices
            taken.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _KERNEL_BUFFER)
            taken.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        self._start_reading()
        self._send_frame(greeting)
        self._feed(early)

    # --- called by Engine.IO ---

    @property
    def closed(self) -> bool:
        return self._state in (State.CLOSING, State.CLOSED)

    def send(self, pkt: packet.Packet) -> None:
        if self.closed:
            raise exceptions.SocketIsClosedError
        encoded = pkt.encode()
        self._send_frame(
            frame(encoded.encode()) if isinstance(encoded, str) else frame(encoded, BINARY)
        )

    def schedule_ping(self) -> None:
        if self.last_ping is not None:  # the client answered: the next ping after the interval
            self.last_ping = None
            self.server.pings.add(self)

    def check_ping_timeout(self) -> bool:
        return not self.closed

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """Without ``abort`` the client gets everything that waits for it and a close frame, and has
        a moment to close the connection by itself."""
        was_closed = self.closed
        if abort or self._state is State.FAILED:
            self._close_socket()
        elif self._state is State.OPEN:
            self._send_frame(_CLOSE_FRAMES)
            self._state = State.CLOSING
            self.server.pings.slow.add(self)
            self.server.pings.close_gracefully(self)
            if self._buffer is None:
                self._shutdown(sockets.SHUT_WR)
        if not was_closed:
            reason = reason or self.server.reason.SERVER_DISCONNECT
            self.server._trigger_event("disconnect", self.sid, reason, run_async=False)

    # --- ending it ---

    def drop(self, reason: str) -> None:
        """Ends a connection that costs too much; counts and logs it."""
        self.server.drops[reason] += 1
        waiting = self._buffer.size if self._buffer is not None else 0
        # Not logged here: this may be the event loop itself, and writing a log line may block.
        eventlet.spawn_n(log.warning, "socket dropped", reason=reason, waiting=waiting)
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        """Ends the connection without waiting: the caller may be the event loop itself, or in the
        middle of a broadcast."""
        if self._state is State.CLOSING:
            self._close_socket()
        elif self._state is State.OPEN:
            self._state = State.FAILED
            self.server.pings.slow.add(self)
            self._stop_reading()
            self._stop_buffering()
            eventlet.spawn_n(self.close, abort=True, reason=reason)

    def _close_socket(self) -> None:
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        self._stop_reading()
        self._stop_buffering()
        self.write = _not_connected
        self.server.sockets.pop(self.sid, None)
        self.server.pings.slow.discard(self)  # a closed socket refuses writes anyway
        self._shutdown(sockets.SHUT_RDWR)
        if self._socket is not None:
            # After the hub's listeners are removed: another client may soon get the number of a
            # closed socket.
            self._socket.close()
            self._socket = None
        self._ended()

    def _shutdown(self, how: int) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the client is gone already
                self._socket.shutdown(how)

    # --- writing ---

    def deliver(self, run: bytes, parts: Iterable[Part]) -> None:
        """Writes ``run``, which is the joined frames of ``parts``. Never blocks, never yields. A
        later part replaces a waiting one with the same key."""
        if self._state is not State.OPEN:
            return
        if self._buffer is not None:
            for key, data in parts:
                self._buffer.add(key, data)
            self._limit_backlog()
            return
        try:
            sent = self.write(run)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail(self.server.reason.TRANSPORT_ERROR)
            return
        if sent < len(run):
            self.start_buffering(sent, parts)

    def start_buffering(self, sent: int, parts: Iterable[Part]) -> None:
        """Called when the socket took only the first ``sent`` bytes of ``parts``."""
        self._buffer = SendBuffer(parts, sent)
        self.server.pings.behind[self] = time.monotonic()
        self.server.pings.slow.add(self)
        hub = get_hub()
        self._writing = hub.add(hub.WRITE, self._socket.fileno(), self._flush, never, never)
        self._limit_backlog()

    def _limit_backlog(self) -> None:
        if self._buffer is not None and self._buffer.size > BACKLOG:
            self.drop("backlog")

    def _flush(self, _fileno: int) -> None:
        """Called by the event loop itself when the socket takes bytes again, so it must not
        block."""
        if self._buffer is None:  # removed in the same turn of the loop
            return
        while chunk := self._buffer.chunk():
            try:
                self._buffer.advance(self._socket.send(chunk))
            except BlockingIOError:
                return
            except OSError:
                self._fail(self.server.reason.TRANSPORT_ERROR)
                return
        self._stop_buffering()
        if self._state is State.OPEN:
            self.server.pings.slow.discard(self)
        else:
            self._shutdown(sockets.SHUT_WR)

    def _stop_buffering(self) -> None:
        if self._buffer is not None:
            get_hub().remove(self._writing)
            self._buffer = self._writing = None
            self.server.pings.behind.pop(self, None)

    def _send_frame(self, data: bytes) -> None:
        self.deliver(data, [(object(), data)])

    # --- reading: called by the event loop itself, so nothing here may block ---

    def _start_reading(self) -> None:
        hub = get_hub()
        self._reading = hub.add(hub.READ, self._socket.fileno(), self._read, never, never)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            get_hub().remove(self._reading)
            self._reading = None

    @property
    def _reads(self) -> bool:
        return self._state in (State.OPEN, State.CLOSING)

    def _read(self, _fileno: int) -> None:
        if self._reading is None:  # removed in the same turn of the loop
            return
        try:
            data = self._socket.recv(16384)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._feed(data)
        else:
            self._fail(self.server.reason.TRANSPORT_CLOSE)

    def _feed(self, data: bytes) -> None:
        try:
            for kind, payload in self._reader.feed(data):
                if self._reads:
                    self._charge()
                    self._handle_frame(kind, payload)
        except ProtocolError as error:
            self._end_for(error)

    def _end_for(self, error: ProtocolError) -> None:
        """Ends a connection whose client broke the protocol; counts and logs it once."""
        if not self._reads:
            return
        self.server.drops[error.count] += 1
        # Not logged here: this may be the event loop itself, and writing a log line may block.
        eventlet.spawn_n(log.warning, "socket dropped", reason=error.count, detail=str(error))
        self._send_frame(close_frame(error.code))
        self._fail(self.server.reason.TRANSPORT_ERROR)

    def _charge(self) -> None:
        """Counts a message of any kind, before anything is done for it."""
        moment = time.monotonic()
        earned = (moment - self._credited_at) * self.server.rate
        self._credit = min(self.server.burst, self._credit + earned) - 1
        self._credited_at = moment
        if self._credit < 0:
            raise ProtocolError(1008, "too many messages", "flood")

    def _handle_frame(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            self._send_frame(frame(payload, PONG))
        elif kind == CLOSE:
            self._send_frame(frame(payload[:2], CLOSE))
            self._fail(self.server.reason.TRANSPORT_CLOSE)
        elif payload == _ALIVE:
            self.schedule_ping()
        elif kind != PONG:
            self._enqueue(payload)

    def _enqueue(self, payload: bytes) -> None:
        if self._inbox is None:
            self._inbox = deque([payload])
            eventlet.spawn_n(self._handle_messages)
            return
        self._inbox.append(payload)
        if len(self._inbox) > _INBOX:
            self._stop_reading()  # until those messages are handled

    def _handle_messages(self) -> None:
        """The greenlet in which messages are handled, one after the other."""
        while self._inbox and self._reads:
            text = self._inbox.popleft().decode()
            try:
                self._handle_message(text)
            except ProtocolError as error:
                self._end_for(error)
        self._inbox = None
        if self._reading is None and self._reads:
            self._start_reading()

    def _handle_message(self, text: str) -> None:
        if text == client_packets.CLOSE:
            self.close(abort=True, reason=self.server.reason.CLIENT_DISCONNECT)
            return
        if not text.startswith(client_packets.MESSAGE):
            raise ProtocolError(1008, "a packet of another kind", "broken packet")
        content = text[1:]
        client_packets.check_message(content)
        self.server._trigger_event("message", self.sid, content, run_async=False)


def _not_connected(_data: bytes) -> int:
    raise OSError(errno.ENOTCONN, "not connected")


def never(*_arguments: object) -> None:
    """Stands in for callbacks of the event loop that are about greenlets."""
