"""Fan-out: an event for everyone is encoded and framed once, then written to each socket.

Progress is gathered for a fifth of a second, the newest of each job, and leaves as one write a
client; anything else leaves at once and takes along what was gathered, so that nothing overtakes.

A write goes straight to the socket while nothing waits for it. What a socket does not take waits
in `Wire`, bounded: of progress the newest of each job, of everything else all, in order. Nothing
here yields between looking and writing, which is what keeps a client's byte stream whole.

After its handshake a connection leaves the web server and its greenlet: an idle client is an
object and a place in the event loop, and a greenlet runs only while a message is answered.
"""

from __future__ import annotations

import errno
import resource
import socket as sockets
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from types import MethodType
from typing import Any

import eventlet
import eventlet.wsgi
import structlog
from engineio import exceptions, packet
from engineio.socket import Socket
from eventlet.hubs import get_hub, notify_opened
from socketio import Manager
from socketio.packet import EVENT, Packet

from portal.frames import BINARY, CLOSE, PING, PONG, Broken, Reader, accept_key, close_frame, frame

log = structlog.get_logger(__name__)

#: Events of which only the newest for each value of a field matters, and that field.
GATHERED = {"job_progress": "job_id"}
GATHER_SECONDS = 0.2
#: Bytes that may wait for one client here, and in the kernel, whose own choice grows to megabytes.
BACKLOG = 192 * 1024
_SEND_BUFFER = 64 * 1024
_MOUTHFUL = 16 * 1024
#: Messages of one client that may wait to be answered.
_INBOX = 16
_LAST_WORDS = 5.0
_BEAT = 0.25

Part = tuple[Hashable, bytes]
Way = tuple["Wire", Callable[[bytes], int]]

#: Clients that were dropped, by reason; read by the metrics.
dropped: Counter[str] = Counter()

_PING = frame(packet.Packet(packet.PING).encode().encode())
_ALIVE = str(packet.PONG).encode()
_FAREWELL = frame(packet.Packet(packet.CLOSE).encode().encode()) + close_frame(1000)


class Wire(Socket):
    """One client's connection, in place of the stock one with its queue and three greenlets."""

    def __init__(self, server: Any, sid: str, ended: Callable[[], None]) -> None:
        # Not the parent's, which makes a queue.
        self.server = server
        self.sid = sid
        self.session: dict[str, Any] = {}
        self.connected = self.upgraded = True
        self.upgrading = self.closing = self.closed = False
        self.last_ping: float | None = 0.0
        self.behind_since = 0.0
        self._ended = ended
        self._socket: Any = None
        self.write: Callable[[bytes], int] = _gone
        self._reader = Reader(server.max_http_buffer_size)
        self._reading: Any = None
        self._over = False  # nothing more is to be read
        self._credit = server.burst  # messages that may come now
        self._credited_at = time.monotonic()
        self._inbox: deque[tuple[int, bytes]] | None = None  # None: nobody is answering
        self._mute = False  # nothing more is to be written, or can be
        # None: nothing waits and the socket may be written. Else what waits, by key, in order.
        self._waiting: dict[Hashable, bytes] | None = None
        self._waiting_bytes = 0
        self._rest = b""  # of the frames that the socket took a part of
        self._writing: Any = None

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
            self.server.pulse.apart.add(self)
            self._end_writing()
        if abort:
            self.hang_up()

    # --- reading: called by the event loop itself, so that nothing here may wait ---

    def _listen(self) -> None:
        hub = get_hub()
        fileno = self._socket.fileno()
        self._reading = hub.add(hub.READ, fileno, self._read, _never, _never)

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
        except Broken as broken:
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
            raise Broken(1008, "too many messages")

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
            sent = self.write(run)
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
        self.server.pulse.apart.add(self)
        hub = get_hub()
        self._writing = hub.add(hub.WRITE, self._socket.fileno(), self._catch_up, _never, _never)
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
                self.hang_up()
                return
        self._waiting = None
        self._stop_writing()
        if self._mute:
            self._end_writing()
        else:
            self.server.pulse.apart.discard(self)

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

    def _stop_writing(self) -> None:
        if self._writing is not None:
            get_hub().remove(self._writing)
            self._writing = None
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
        """Ends the connection for good."""
        self._forget()
        self._stop_reading()
        if self._socket is not None:
            self._shutdown(sockets.SHUT_RDWR)
            # After the listeners: the number of a closed socket is soon another client's.
            self._socket.close()
            self._socket, self.write = None, _gone
            if not self.closing:
                self._end(self.server.reason.TRANSPORT_ERROR)
            self._over = True
            self.server.sockets.pop(self.sid, None)
            self._ended()
        self.server.pulse.apart.discard(self)  # a closed socket refuses by itself

    def _forget(self) -> None:
        self._mute = True
        self._stop_writing()
        self.server.pulse.apart.add(self)
        self._waiting, self._waiting_bytes, self._rest = {}, 0, b""

    def _shutdown(self, how: int) -> None:
        with suppress(OSError):  # already gone
            self._socket.shutdown(how)


def _gone(_data: bytes) -> int:
    raise OSError(errno.ENOTCONN, "not connected")


def _never(*_arguments: object) -> None:
    """For the event loop's questions that concern greenlets."""


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


def _to_each(ways: Iterable[Way], apart: set[Wire], run: bytes, parts: Iterable[Part]) -> None:
    """``deliver`` for many. Nearly all need no more than ``send``, so that their wires, which are
    scattered over the memory, are not even looked at."""
    size = len(run)
    for wire, send in ways:
        if apart and wire in apart:
            wire.deliver(run, parts)
            continue
        try:
            sent = send(run)
        except OSError:  # it would block, or is gone
            wire.deliver(run, parts)
            continue
        if sent < size:
            wire._fall_behind(sent, parts)


class FanoutManager(Manager):
    """Socket.IO's client manager with a broadcast that costs one send a client."""

    def __init__(self) -> None:
        super().__init__()
        self._gathered: dict[str, dict[Hashable, bytes]] = {}
        self._flush_due = False
        self._ways: dict[str, list[Way]] = {}
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
            eventlet.spawn_after(GATHER_SECONDS, self._flush_in_time)
        waiting = self._gathered.setdefault(room, {})
        waiting.pop(key, None)
        waiting[key] = data

    def _flush_in_time(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for room, parts in gathered.items():
            run, items = b"".join(parts.values()), list(parts.items())
            _to_each(self.ways(room), self.server.eio.pulse.apart, run, items)

    def _broadcast(self, room: str, data: bytes) -> None:
        """At once, behind what was gathered for the same client, in one write."""
        here, apart = self.ways(room), self.server.eio.pulse.apart
        part = (object(), data)
        if len(self._gathered) != 1:
            self._flush()
            _to_each(here, apart, data, (part,))
            return
        [(other, parts)] = self._gathered.items()
        self._gathered = {}
        run, items = b"".join(parts.values()), list(parts.items())
        audience = {wire for wire, _ in here}
        both = [way for way in self.ways(other) if way[0] in audience]
        _to_each(both, apart, run + data, [*items, part])
        told = {wire for wire, _ in both}
        _to_each([way for way in self.ways(other) if way[0] not in told], apart, run, items)
        _to_each([way for way in here if way[0] not in told], apart, data, (part,))

    def ways(self, room: str) -> list[Way]:
        """To the clients in a room; kept until somebody enters or leaves it."""
        found = self._ways.get(room)
        if found is None:
            members = self.rooms.get("/", {}).get(room, {})
            known = self.server.eio.sockets
            wires = [known[eio_sid] for eio_sid in members.values() if eio_sid in known]
            found = [(wire, wire.write) for wire in wires]
            if members:  # an event for nobody must leave nothing behind
                self._ways[room] = found
        return found

    def get_participants(self, namespace: str, room: Any) -> Iterable[tuple[str, str]]:
        rooms = self.rooms.get(namespace, {})
        found: dict[str, str] = {}
        for name in room if isinstance(room, list | tuple) else [room]:
            found.update(rooms.get(name, {}))
        yield from found.items()

    def basic_enter_room(
        self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None
    ) -> None:
        if room is None or namespace not in self.rooms:
            super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        elif sid != room and self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        else:
            # A plain dictionary: only the room of all is ever searched by the other side, and a
            # client has two rooms of its own.
            members = self.rooms[namespace].setdefault(room, {})
            members[sid] = eio_sid or self.rooms[namespace][None][sid]
        entered = self._rooms_of.setdefault(sid, [])
        if room not in entered:
            entered.append(room)
        self._ways.pop(room or "", None)

    def basic_leave_room(self, sid: str, namespace: str, room: str | None) -> None:
        super().basic_leave_room(sid, namespace, room)
        entered = self._rooms_of.get(sid, [])
        if room in entered:
            entered.remove(room)
        self._ways.pop(room or "", None)

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


# --- the web server ------------------------------------------------------------------------------


class _Protocol(eventlet.wsgi.HttpProtocol):
    """Lets the application take the socket away; the web server then ends as if it was closed."""

    connection: Any

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["portal.take_socket"] = self._take_socket
        return environ

    def _take_socket(self) -> tuple[Any, bytes]:
        """The socket, and what was read from it beyond the request."""
        self.connection.setblocking(False)
        early = self.rfile.read1(65536) or b""
        # A second descriptor, for the first one is closed with the web server's files.
        taken = self.connection.fd.dup()
        notify_opened(taken.fileno())
        self.connection.close()
        self.connection = self.request = self.conn_state[1] = _Taken()
        eventlet.wsgi.WSGI_LOCAL.already_handled = True
        return taken, early

    def finish(self) -> None:
        super().finish()
        if isinstance(self.connection, _Taken):
            self.environ.clear()  # it holds this object, and both would wait for the collector


class _Taken:
    """What the web server shuts down and closes in place of a socket that it gave away."""

    def shutdown(self, how: int) -> None: ...

    def close(self) -> None: ...


class _Door:
    """The listening socket, which must not end the server when descriptors are short."""

    def __init__(self, listening: Any) -> None:
        self._listening = listening
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = limit - min(256, limit // 4)  # the rest is for files and processes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def accept(self) -> Any:
        while True:
            try:
                client, address = self._listening.accept()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                log.error("no connection can be accepted", reason=error.strerror)
                eventlet.sleep(1)
                continue
            if client.fileno() < self._most:  # the lowest free number: it tells how many there are
                return client, address
            dropped["full"] += 1
            client.close()


def serve(app: Any, host: str, port: int, *, most_requests: int, request_timeout: float) -> None:
    """Serves an application for ever. ``most_requests`` are those that are being answered."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    family, _, _, _, address = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0]
    eventlet.wsgi.server(
        # After a restart everybody comes at once.
        _Door(eventlet.listen(address, family, backlog=4096)),
        app,
        log_output=False,
        debug=False,
        max_size=most_requests,
        socket_timeout=request_timeout,
        protocol=_Protocol,
    )


def install(server: Any, *, rate: float = 1e9, burst: float = 1e9) -> None:
    """Gives a Socket.IO server on eventlet wires instead of stock sockets.

    ``rate``: messages a second that a client may send for long; ``burst``: at once.
    """
    engine = server.eio
    engine.rate, engine.burst = rate, burst
    engine.pulse = Pulse(engine)
    engine._handle_connect = MethodType(_handle_connect, engine)
    eventlet.spawn_n(engine.pulse.run)


def _handle_connect(
    engine: Any, environ: dict[str, Any], start_response: Any, transport: str, jsonp: Any = None
) -> Any:
    """Opens a connection as the stock engine does, on a wire."""
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY")
    if (
        key is None
        or environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13"
        or "upgrade" not in environ.get("HTTP_CONNECTION", "").lower()
    ):
        return engine._bad_request("This is no WebSocket handshake")
    taken, early = environ["portal.take_socket"]()
    sid = engine.generate_id()
    wire = engine.sockets[sid] = Wire(engine, sid, environ.get("portal.ended", [_never]).pop())
    # The rest of the request is not kept: it would take more memory than the wire.
    kept = {name: environ[name] for name in ("REMOTE_ADDR", "portal.caller") if name in environ}
    engine._trigger_event("connect", sid, kept, run_async=False)
    wire.open(taken, _greeting(engine, sid, key), early)
    wire.schedule_ping()
    return []


def _greeting(engine: Any, sid: str, key: str) -> bytes:
    opened = packet.Packet(
        packet.OPEN,
        {
            "sid": sid,
            "upgrades": [],
            "pingTimeout": int(engine.ping_timeout * 1000),
            "pingInterval": int(engine.ping_interval * 1000),
            "maxPayload": engine.max_http_buffer_size,
        },
    )
    handshake = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    )
    return handshake.encode() + frame(opened.encode().encode())
