"""The web server of a serving process, and how its sockets become wires."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from types import MethodType
from typing import Any

import eventlet
import eventlet.wsgi
from engineio import packet
from eventlet.hubs import notify_opened

from portal.realtime.fanout.acceptor import (
    WSGI,
    Door,
    Lobby,
    nothing,
)
from portal.realtime.fanout.connection import Wire
from portal.realtime.fanout.ping_scheduler import Pulse
from portal.realtime.fanout.request_head import plain_head
from portal.realtime.fanout.send_buffer import never
from portal.realtime.fanout.websocket_frames import accept_key, frame

#: Objects that are made between two looks of the collector for those that died in circles.
_YOUNG = 5_000


class _Protocol(eventlet.wsgi.HttpProtocol):
    """Lets the application take the socket away; the web server then ends as if it was closed."""

    connection: Any
    rfile: Any

    def parse_request(self) -> bool:
        """The head of a plain request, if it has come whole. The library reads any other, and costs
        as much as all else before the application together."""
        stream = self.rfile.fp
        head = plain_head(self.raw_requestline, stream.peek())
        if head is None:
            return bool(super().parse_request())
        stream.read(head.length)
        self.requestline = self.raw_requestline.decode().rstrip()
        self.command, self.path, self.request_version = "GET", head.path, "HTTP/1.1"
        self.headers = head.headers
        self.close_connection = head.headers.get("Connection", "").lower() == "close"
        return True

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


def serve(
    app: Any,
    door: Door,
    *,
    most_requests: int,
    request_timeout: float,
    look_ahead: Callable[[Sequence[dict[str, Any]]], None] = nothing,
) -> None:
    """Serves an application until the door is closed and what was asked before is answered.
    ``most_requests`` are those that are being answered; ``look_ahead`` sees the requests of those
    who ask for a socket in the same moment before the application does."""
    door.lobby = Lobby(app, look_ahead)
    # What was made until now stays: the collector need not look through it for each few clients
    # that come, and in a storm it would do so often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
    eventlet.wsgi.server(
        door,
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
    engine.opening = _opening(engine)
    engine._handle_connect = MethodType(_handle_connect, engine)
    eventlet.spawn_n(engine.pulse.run)


def entrance(server: Any, wsgi: WSGI) -> WSGI:
    """For who asks for a socket and nothing else; ``wsgi`` hears the others, and says what is wrong
    with a handshake."""
    engine = server.eio

    def enter(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "portal.plain" in environ and _is_handshake(environ):
            return _open(engine, environ)
        return wsgi(environ, start_response)

    return enter


def _is_handshake(environ: dict[str, Any]) -> bool:
    return (
        "HTTP_SEC_WEBSOCKET_KEY" in environ
        and environ.get("HTTP_SEC_WEBSOCKET_VERSION") == "13"
        and environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        and "upgrade" in environ.get("HTTP_CONNECTION", "").lower()
    )


def _handle_connect(engine: Any, environ: dict[str, Any], *_more: object) -> Any:
    if not _is_handshake(environ):
        return engine._bad_request("This is no WebSocket handshake")
    return _open(engine, environ)


def _open(engine: Any, environ: dict[str, Any]) -> list[bytes]:
    """Opens a connection as the stock engine does, on a wire."""
    taken, early = environ["portal.take_socket"]()
    sid = engine.generate_id()
    wire = engine.sockets[sid] = Wire(engine, sid, environ.get("portal.ended", [never]).pop())
    # The rest of the request is not kept: it would take more memory than the wire.
    kept = {name: environ[name] for name in ("REMOTE_ADDR", "portal.caller") if name in environ}
    engine._trigger_event("connect", sid, kept, run_async=False)
    wire.open(taken, _greeting(engine, sid, environ["HTTP_SEC_WEBSOCKET_KEY"]), early)
    wire.schedule_ping()
    return []


def _greeting(engine: Any, sid: str, key: str) -> bytes:
    opened = engine.opening.replace("SID", sid)
    handshake = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    )
    return handshake.encode() + frame(opened.encode())


def _opening(engine: Any) -> str:
    """Engine.IO's first packet, alike for all but for SID, which stands where theirs goes."""
    opened: str = packet.Packet(
        packet.OPEN,
        {
            "sid": "SID",
            "upgrades": [],
            "pingTimeout": int(engine.ping_timeout * 1000),
            "pingInterval": int(engine.ping_interval * 1000),
            "maxPayload": engine.max_http_buffer_size,
        },
    ).encode()
    return opened
