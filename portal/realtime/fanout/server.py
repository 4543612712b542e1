"""The web server of a serving process, and how live sockets leave it."""

from __future__ import annotations

import gc
import socket as sockets
from collections.abc import Callable, Iterable, Sequence
from types import MethodType
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

import eventlet
import eventlet.wsgi
from engineio import packet
from eventlet.hubs import notify_opened

from portal.realtime.fanout.acceptor import (
    Acceptor,
    HandshakeQueue,
    no_authentication,
)
from portal.realtime.fanout.connection import Connection, never
from portal.realtime.fanout.ping_scheduler import PingScheduler
from portal.realtime.fanout.request_head import plain_head
from portal.realtime.fanout.send_buffer import DropCounts
from portal.realtime.fanout.websocket_frames import accept_key, frame
from portal.runtime.context import current

#: Allocations between two runs of the cyclic garbage collector.
_GC_THRESHOLD = 5_000


class _Protocol(eventlet.wsgi.HttpProtocol):
    """Lets the application take the socket over. The web server then treats it as closed."""

    connection: Any
    rfile: Any

    def parse_request(self) -> bool:
        """Parses the head of a plain request that has arrived whole. The library parses all other
        requests: its parser takes as long as everything else before the application together."""
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
        environ["portal.is_gone"] = self._is_gone
        return environ

    def _is_gone(self) -> bool:
        """Returns whether the client has closed the connection while its request is answered."""
        try:
            return not self.connection.fd.recv(1, sockets.MSG_PEEK | sockets.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _take_socket(self) -> tuple[Any, bytes]:
        """Returns the socket, and the bytes beyond the request that were already read from it."""
        self.connection.setblocking(False)
        early = self.rfile.read1(65536) or b""
        # A second descriptor: the web server's files close the first one.
        taken = self.connection.fd.dup()
        notify_opened(taken.fileno())
        self.connection.close()
        self.connection = self.request = self.conn_state[1] = _TakenSocket()
        eventlet.wsgi.WSGI_LOCAL.already_handled = True
        return taken, early

    def finish(self) -> None:
        super().finish()
        if isinstance(self.connection, _TakenSocket):
            self.environ.clear()  # it refers to this object: a cycle for the garbage collector


class _TakenSocket:
    """Stands in for a socket that was taken over, for the web server to shut down and close."""

    def shutdown(self, how: int) -> None: ...

    def close(self) -> None: ...


def serve(
    app: Any,
    acceptor: Acceptor,
    *,
    most_requests: int,
    request_timeout: float,
    authenticate_batch: Callable[[Sequence[dict[str, Any]]], None] = no_authentication,
) -> None:
    """Serves an application until the acceptor is closed and all earlier requests are answered.

    ``most_requests`` bounds the requests that are answered at the same time;
    ``authenticate_batch`` is called with the handshakes of each turn before the application is."""
    acceptor.handshakes = HandshakeQueue(app, authenticate_batch)
    # All objects that exist now stay alive. The collector need not traverse them, which it would
    # otherwise do often while many clients connect.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    eventlet.wsgi.server(
        acceptor,
        app,
        log_output=False,
        debug=False,
        max_size=most_requests,
        socket_timeout=request_timeout,
        protocol=_Protocol,
    )


def install(server: Any, *, rate: float = 1e9, burst: float = 1e9) -> None:
    """Replaces the stock sockets of a Socket.IO server on eventlet by ``Connection``.

    ``rate``: messages a second that a client may send in the long run; ``burst``: at once.
    """
    engine = server.eio
    engine.rate, engine.burst = rate, burst
    engine.drops = current()[DropCounts]
    engine.pings = PingScheduler(engine)
    engine.opening = _opening(engine)
    engine._handle_connect = MethodType(_handle_connect, engine)
    eventlet.spawn_n(engine.pings.run)


def entrance(server: Any, wsgi: WSGIApplication) -> WSGIApplication:
    """Opens the connections that the acceptor recognised as handshakes. ``wsgi`` gets all other
    requests, and also answers an invalid handshake."""
    engine = server.eio

    def enter(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
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
        return engine._bad_request("This is not a WebSocket handshake")
    return _open(engine, environ)


def _open(engine: Any, environ: dict[str, Any]) -> list[bytes]:
    """Does what the stock engine does to open a socket, but with a ``Connection``."""
    taken, early = environ["portal.take_socket"]()
    sid = engine.generate_id()
    connection = engine.sockets[sid] = Connection(
        engine, sid, environ.get("portal.ended", [never]).pop()
    )
    # The rest of the request is dropped: it would take more memory than the connection.
    kept = {name: environ[name] for name in ("REMOTE_ADDR", "portal.principal") if name in environ}
    engine._trigger_event("connect", sid, kept, run_async=False)
    connection.open(taken, _greeting(engine, sid, environ["HTTP_SEC_WEBSOCKET_KEY"]), early)
    connection.schedule_ping()
    return []


def _greeting(engine: Any, sid: str, key: str) -> bytes:
    opened = engine.opening.replace("SID", sid)
    handshake = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    )
    return handshake.encode() + frame(opened.encode())


def _opening(engine: Any) -> str:
    """Returns Engine.IO's first packet. It is the same for all clients except for the placeholder
    SID."""
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
