"""The web server of a serving process, and how live sockets leave it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import MethodType
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

import eventlet
import eventlet.wsgi
from engineio import packet

from portal.realtime.fanout.acceptor import (
    Acceptor,
    HandshakeQueue,
    no_authentication,
)
from portal.realtime.fanout.connection import Connection, never
from portal.realtime.fanout.http_protocol import HttpProtocol, Refusals
from portal.realtime.fanout.ping_scheduler import PingScheduler
from portal.realtime.fanout.request_head import RefusedHeads
from portal.realtime.fanout.send_buffer import DropCounts
from portal.realtime.fanout.websocket_frames import accept_key, frame, is_key
from portal.runtime.context import current

#: Of the WebSocket protocol: RFC 6455.
_VERSION = "13"
#: Allocations between two runs of the cyclic garbage collector.
_GC_THRESHOLD = 5_000


def serve(
    app: Any,
    acceptor: Acceptor,
    *,
    most_requests: int,
    request_timeout: float,
    authenticate_batch: Callable[[Sequence[dict[str, Any]]], None] = no_authentication,
    refusal_headers: Iterable[tuple[str, str]] = (),
) -> None:
    """Serves an application until the acceptor is closed and all earlier requests are answered.

    ``most_requests`` bounds the requests that are answered at the same time;
    ``authenticate_batch`` is called with the handshakes of each turn before the application is;
    ``refusal_headers`` go into answers that the application does not give."""
    refusals = Refusals(refusal_headers, current()[RefusedHeads])
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
        protocol=partial(HttpProtocol, refusals),
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
    """As RFC 6455 says it in 4.2.1. What follows the head is the first frame and no body."""
    return (
        is_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", ""))
        and environ.get("HTTP_SEC_WEBSOCKET_VERSION") == _VERSION
        and "websocket" in _words(environ, "HTTP_UPGRADE")
        and "upgrade" in _words(environ, "HTTP_CONNECTION")
        and environ["SERVER_PROTOCOL"] != "HTTP/1.0"
        and environ.get("CONTENT_LENGTH", "0").strip("0") == ""
    )


def _words(environ: dict[str, Any], name: str) -> list[str]:
    return [word.strip() for word in environ.get(name, "").lower().split(",")]


def _handle_connect(engine: Any, environ: dict[str, Any], *_more: object) -> Any:
    if _is_handshake(environ):
        return _open(engine, environ)
    refusal = engine._bad_request("This is not a WebSocket handshake")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != _VERSION:
        refusal["status"] = "426 UPGRADE REQUIRED"
        refusal["headers"] += [
            ("Sec-WebSocket-Version", _VERSION),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
        ]
    return refusal


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
