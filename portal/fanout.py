"""Fan-out: an event for everyone is encoded and framed once, then written to each socket.

Frames from a server are unmasked, and uncompressed here, hence the same bytes for every client.
Progress is gathered for a fifth of a second, the newest of each job, and leaves as one write a
client; anything else leaves at once and takes along what was gathered, so that nothing overtakes.

A write goes straight to the socket while nothing waits for it. What a socket does not take waits
in `Wire`, bounded: of progress the newest of each job, of everything else all, in order. Nothing
here yields between looking and writing, which is what keeps a client's byte stream whole.
"""

from __future__ import annotations

import socket as sockets
import struct
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterable
from types import MethodType
from typing import Any

import eventlet
import structlog
from engineio import exceptions, packet
from engineio.socket import Socket
from eventlet.hubs import get_hub
from socketio import Manager
from socketio.packet import EVENT, Packet

log = structlog.get_logger(__name__)

#: Events of which only the newest for each value of a field matters, and that field.
GATHERED = {"job_progress": "job_id"}
GATHER_SECONDS = 0.2
#: Bytes that may wait for one client here, and in the kernel, whose own choice grows to megabytes.
BACKLOG = 192 * 1024
_SEND_BUFFER = 64 * 1024
_MOUTHFUL = 16 * 1024
_LAST_WORDS = 5.0
_BEAT = 0.25

_TEXT, _BINARY, _CLOSE = 0x81, 0x82, 0x88

Part = tuple[Hashable, bytes]

#: Clients that were dropped, by reason; read by the metrics.
dropped: Counter[str] = Counter()


def frame(payload: bytes, head: int = _TEXT) -> bytes:
    """An unmasked, unfragmented WebSocket frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", head, length) + payload
    if length < 65536:
        return struct.pack("!BBH", head, 126, length) + payload
    return struct.pack("!BBQ", head, 127, length) + payload


_PING = frame(packet.Packet(packet.PING).encode().encode())
_FAREWELL = frame(packet.Packet(packet.CLOSE).encode().encode()) + frame(
    struct.pack("!H", 1000), _CLOSE
)


class Wire(Socket):
    """One client's connection, without the queue, the writer and the pinger of its own that the
    stock one has: an idle client is its reading greenlet and this object."""

    def __init__(self, server: Any, sid: str) -> None:
        # Not the parent's, which makes a queue.
        self.server = server
        self.sid = sid
        self.session: dict[str, Any] = {}
        self.connected = self.upgrading = self.upgraded = False
        self.closing = self.closed = False
        self.last_ping: float | None = 0.0
        self.behind_since = 0.0
        self._socket: Any = None
        self._mute = False  # nothing more is to be written, or can be
        # None: nothing waits and the socket may be written. Else what waits, by key, in order.
        self._waiting: dict[Hashable, bytes] | None = {}
        self._waiting_bytes = 0
        self._rest = b""  # of the frames that the socket took a part of
        self._listener: Any = None

    # --- what engine.io calls ---

    def send(self, pkt: packet.Packet) -> None:
        if self.closed:
            raise exceptions.SocketIsClosedError
        encoded = pkt.encode()
        data = frame(encoded.encode()) if isinstance(encoded, str) else frame(encoded, _BINARY)
        self.deliver(data, [(object(), data)])

    def schedule_ping(self) -> None:
        if self.last_ping is not None:  # the client answered: the next one after the interval
            self.last_ping = None
            self.server.pulse.add(self)

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
                self.server.pulse.see_off(self)
            self.closed = self._mute = True
            self._end_writing()
        if abort:
            self.hang_up()

    def _websocket_handler(self, ws: Any) -> list[bytes]:
        """The client's one greenlet: reads until the connection ends."""
        ws._send = self._control  # its pongs and close frames must not cut into a frame of ours
        ws.close = MethodType(_answer_close, ws)
        self._open(ws.socket)
        try:
            while (data := ws.wait()) is not None:
                if len(data) > self.server.max_http_buffer_size:
                    break
                self.receive(packet.Packet(encoded_packet=data))
        except (exceptions.EngineIOError, OSError, EOFError, ValueError) as error:
            log.debug("socket ended", reason=repr(error))
        finally:
            self.close(abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
        return []

    def _open(self, green: Any) -> None:
        green.settimeout(None)  # the pulse finds dead clients; a timer for each costs memory
        self._socket = green.fd
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
        self._socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        self.connected = self.upgraded = True
        early, self._waiting, self._waiting_bytes = self._waiting or {}, None, 0
        for key, data in early.items():
            self.deliver(data, [(key, data)])

    def _control(self, data: bytes) -> None:
        self.deliver(data, [(object(), data)])

    # --- writing ---

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
            sent = self._socket.send(run)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.hang_up()
            return
        if sent < len(run):
            self._fall_behind(sent, parts)

    def _fall_behind(self, sent: int, parts: Iterable[Part]) -> None:
        self._waiting, self._waiting_bytes = {}, 0
        self.behind_since = time.monotonic()
        self.server.pulse.behind.add(self)
        hub = get_hub()
        self._listener = hub.add(hub.WRITE, self._socket.fileno(), self._catch_up, _never, _never)
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
        older = self._waiting.pop(key, b"")
        self._waiting_bytes += len(data) - len(older)
        self._waiting[key] = data
        if self._waiting_bytes + len(self._rest) > BACKLOG:
            self.drop("backlog")

    def _catch_up(self, _fileno: int) -> None:
        """The socket takes bytes again. The event loop itself calls this, so it must not wait."""
        if self._listener is None:  # removed in the same turn of the loop
            return
        while self._rest or self._waiting:
            if not self._rest:
                self._rest = self._next()
            try:
                self._rest = self._rest[self._socket.send(self._rest) :]
            except BlockingIOError:
                return
            except OSError:
                self.hang_up()
                return
        self._waiting = None
        self._stop_listening()
        if self._mute:
            self._end_writing()

    def _next(self) -> bytes:
        """A few of the frames that wait. No more than that: of the others, newer values may come
        before their turn."""
        taken, size = [], 0
        waiting = self._waiting or {}
        for key in list(waiting):
            taken.append(waiting.pop(key))
            size += len(taken[-1])
            if size > _MOUTHFUL:
                break
        self._waiting_bytes -= size
        return b"".join(taken)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            get_hub().remove(self._listener)
            self._listener = None
            self.server.pulse.behind.discard(self)

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

    def hang_up(self) -> None:
        """Ends the connection; the reading greenlet then sees its end."""
        self._forget()
        if self._socket is not None:
            self._shutdown(sockets.SHUT_RDWR)
            self._socket = None

    def _forget(self) -> None:
        # The listener above all: the number of a closed socket is soon another client's.
        self._mute = True
        self._stop_listening()
        self._waiting, self._waiting_bytes, self._rest = {}, 0, b""

    def _shutdown(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError:
            log.debug("the client was already gone")


def _never(*_arguments: object) -> None:
    """For the event loop's questions that concern greenlets."""


def _answer_close(ws: Any, close_data: Any = None) -> None:
    """Sends the close frame in its turn. The stock one then ends the socket at once, in the midst
    of what may still wait to be written."""
    ws._send_closing_frame(ignore_send_errors=True, close_data=close_data)


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


class FanoutManager(Manager):
    """Socket.IO's client manager with a broadcast that costs one send a client."""

    def __init__(self) -> None:
        super().__init__()
        self._gathered: dict[str, dict[Hashable, bytes]] = {}
        self._flush_due = False
        self._wires: dict[str, list[Wire]] = {}
        self._rooms_of: dict[str, list[str | None]] = {}

    def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **options: Any,
    ) -> None:
        room = to or room
        if callback or skip_sid or namespace != "/" or not isinstance(room, str):
            super().emit(event, data, namespace, room, skip_sid, callback, **options)
            return
        message = Packet(EVENT, data=[event, data], namespace=namespace).encode()
        encoded = frame(packet.Packet(packet.MESSAGE, message).encode().encode())
        if event in GATHERED:
            self._gather(room, (event, data[GATHERED[event]]), encoded)
        else:
            self._broadcast(room, encoded)

    def _gather(self, room: str, key: Hashable, data: bytes) -> None:
        if not self._flush_due:
            self._flush_due = True
            eventlet.spawn_after(GATHER_SECONDS, self._flush)
        waiting = self._gathered.setdefault(room, {})
        waiting.pop(key, None)
        waiting[key] = data

    def _flush(self) -> None:
        self._flush_due = False
        gathered, self._gathered = self._gathered, {}
        for room, parts in gathered.items():
            run, items = b"".join(parts.values()), list(parts.items())
            for wire in self.wires(room):
                wire.deliver(run, items)

    def _broadcast(self, room: str, data: bytes) -> None:
        """At once, behind what was gathered for the same client, in one write."""
        gathered, self._gathered = self._gathered, {}
        part = (object(), data)
        here = self.wires(room)
        told = set()
        for other, parts in gathered.items():
            run, items = b"".join(parts.values()), list(parts.items())
            together, both = run + data, [*items, part]
            audience = set(here)
            for wire in self.wires(other):
                if wire in audience and wire not in told:
                    told.add(wire)
                    wire.deliver(together, both)
                else:
                    wire.deliver(run, items)
        for wire in here:
            if wire not in told:
                wire.deliver(data, (part,))

    def wires(self, room: str) -> list[Wire]:
        """Of the clients in a room; kept until somebody enters or leaves it."""
        found = self._wires.get(room)
        if found is None:
            members = self.rooms.get("/", {}).get(room, {})
            known = self.server.eio.sockets
            found = [known[eio_sid] for eio_sid in members.values() if eio_sid in known]
            if members:  # an event for nobody must leave nothing behind
                self._wires[room] = found
        return found

    def basic_enter_room(
        self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None
    ) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        entered = self._rooms_of.setdefault(sid, [])
        if room not in entered:
            entered.append(room)
        self._wires.pop(room or "", None)

    def basic_leave_room(self, sid: str, namespace: str, room: str | None) -> None:
        super().basic_leave_room(sid, namespace, room)
        entered = self._rooms_of.get(sid, [])
        if room in entered:
            entered.remove(room)
        self._wires.pop(room or "", None)

    def connect(self, sid: str, namespace: str) -> str | None:
        """Counts a client as connected; one that went away meanwhile as gone again."""
        sid = super().connect(sid, namespace)
        eio_sid = self.eio_sid_from_sid(sid, namespace)
        wire = self.server.eio.sockets.get(eio_sid)
        if wire is None or wire.closing:
            self.server._handle_disconnect(eio_sid, namespace, self.server.reason.TRANSPORT_CLOSE)
        return sid

    def basic_disconnect(self, sid: str, namespace: str, **options: Any) -> None:
        """Leaves the client's own rooms; the stock one looks through everybody's."""
        for room in self._rooms_of.pop(sid, []):
            self.basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]


def install(server: Any) -> None:
    """Gives a Socket.IO server on eventlet wires instead of stock sockets."""
    engine = server.eio
    engine.pulse = Pulse(engine)
    engine._handle_connect = MethodType(_handle_connect, engine)
    eventlet.spawn_n(engine.pulse.run)


def _handle_connect(
    engine: Any, environ: dict[str, Any], start_response: Any, transport: str, jsonp: Any = None
) -> Any:
    """Opens a connection as the stock engine does, on a wire."""
    sid = engine.generate_id()
    wire = engine.sockets[sid] = Wire(engine, sid)
    wire.send(
        packet.Packet(
            packet.OPEN,
            {
                "sid": sid,
                "upgrades": [],
                "pingTimeout": int(engine.ping_timeout * 1000),
                "pingInterval": int(engine.ping_interval * 1000),
                "maxPayload": engine.max_http_buffer_size,
            },
        )
    )
    engine._trigger_event("connect", sid, environ, run_async=False)
    wire.schedule_ping()
    try:
        return wire._upgrade_websocket(environ, start_response)
    finally:
        # An upgrade that failed never came to its reading greenlet, which does this else.
        wire.close(abort=True, reason=engine.reason.TRANSPORT_ERROR)
        engine.sockets.pop(sid, None)
