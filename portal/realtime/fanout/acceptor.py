"""Accepts the connections of a serving process and opens live sockets without the web server.

After a restart all clients connect at the same time. Eventlet's web server makes a greenlet, a
request object and buffered files for each of them. That is most of the cost of a handshake, and a
live socket uses none of it.
"""

from __future__ import annotations

import errno
import resource
import socket as sockets
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIApplication

import eventlet
import structlog
from eventlet.greenio import GreenSocket
from eventlet.hubs import notify_opened, trampoline

from portal.realtime.fanout.request_head import upgrade_head
from portal.realtime.fanout.send_buffer import DropCounts
from portal.runtime.context import current

log = structlog.get_logger(__name__)

#: Handshakes in one turn of the event loop; pages are answered between two turns.
_BATCH = 32
_LONGEST_HEAD = 8192
#: Seconds for which the kernel keeps a connection that has sent nothing yet.
_DEFER_SECONDS = 5
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

#: The part of the WSGI environ that all handshakes share. They have no body to read.
_ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/socket.io/",
    "QUERY_STRING": "EIO=4&transport=websocket",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.input": BytesIO(),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
    "portal.plain": True,
}


def no_authentication(_environs: Sequence[dict[str, Any]]) -> None:
    """Default for applications without batch authentication."""


class HandshakeQueue:
    """Handshakes that wait for their turn.

    ``authenticate_batch`` is called with the requests of each turn before the application is.
    """

    def __init__(
        self,
        app: WSGIApplication,
        authenticate_batch: Callable[[Sequence[dict[str, Any]]], None] = no_authentication,
    ) -> None:
        self._app = app
        self._authenticate_batch = authenticate_batch
        self._waiting: deque[tuple[Any, dict[str, Any]]] = deque()
        self._busy = False

    def try_accept(self, client: Any, address: Any) -> bool:
        """Takes a connection that is a handshake or is closed already. Returns False for any other:
        nothing was read from it, and the web server handles it."""
        try:
            data = client.recv(_LONGEST_HEAD, sockets.MSG_PEEK)
            head = upgrade_head(data)
            if head is not None:
                client.recv(head.length)
        except BlockingIOError:
            return False
        except OSError:  # the client is gone
            data, head = b"", None
        if not data:
            client.close()
            return True
        if head is None:
            return False
        environ = {**_ENVIRON, **head.fields, "REMOTE_ADDR": address[0]}
        self._waiting.append((client, environ))
        if not self._busy:
            self._busy = True
            eventlet.spawn_n(self._turn)
        return True

    def _turn(self) -> None:
        number = min(_BATCH, len(self._waiting))
        together = [self._waiting.popleft() for _ in range(number)]
        try:
            self._authenticate_batch([environ for _, environ in together])
        finally:
            for client, environ in together:
                eventlet.spawn_n(self._handshake, client, environ)
            if self._waiting:
                eventlet.spawn_n(self._turn)
            else:
                self._busy = False

    def _handshake(self, client: Any, environ: dict[str, Any]) -> None:
        """Calls the application, which takes the socket over or answers with a refusal."""
        given: list[Any] = []

        def give() -> tuple[Any, bytes]:
            given.append(client)
            return client, b""

        environ["portal.take_socket"] = give
        try:
            answer = _answer(self._app, environ)
            if not given:
                with suppress(OSError):  # the client is gone, or does not read
                    client.send(answer)
        finally:
            if not given:
                client.close()


def _answer(app: WSGIApplication, environ: dict[str, Any]) -> bytes:
    lines: list[str] = []
    written: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], *_more: object
    ) -> Callable[[bytes], object]:
        lines[:] = [f"HTTP/1.1 {status}", *map(": ".join, headers), "Connection: close"]
        return written.append

    body = b"".join(app(environ, start_response))
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + b"".join(written) + body


class Acceptor:
    """The listening socket. Several processes may listen on the same port; the kernel distributes
    the connections. Closing it ends the web server; running out of descriptors does not.
    """

    def __init__(self, host: str, port: int) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._most = most - min(256, most // 4)  # leaves some for files and subprocesses
        family, _, _, _, address = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0]
        self._drops = current()[DropCounts]
        # After a restart all clients connect at the same time.
        self._listening = eventlet.listen(address, family, backlog=4096)
        # Accepted sockets inherit this. The web server sends the head of a response before its
        # body, and Nagle's algorithm would hold the body back for an acknowledgement: about 40 ms.
        self._listening.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        if hasattr(sockets, "TCP_DEFER_ACCEPT"):
            # Accept a connection only once its request has arrived.
            self._listening.setsockopt(
                sockets.IPPROTO_TCP, sockets.TCP_DEFER_ACCEPT, _DEFER_SECONDS
            )
        self._closed = False
        self.handshakes: HandshakeQueue | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def close(self) -> None:
        """Stops accepting; the web server finishes the requests it has, and ends."""
        self._closed = True
        with suppress(OSError):
            self._listening.shutdown(sockets.SHUT_RDWR)

    def accept(self) -> Any:
        """Returns the next connection that is for the web server."""
        while True:
            for _ in range(2 * _BATCH):
                found = self._next()
                if found is None:
                    break
                client, address = found
                if self.handshakes is None or not self.handshakes.try_accept(client, address):
                    return GreenSocket(client), address
            else:
                eventlet.sleep(0)  # let the rest of the event loop run
                continue
            trampoline(self._listening, read=True)

    def _next(self) -> Any:
        """Accepts a connection; returns None if none waits, or if it is one too many."""
        try:
            client, address = self._listening.fd.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            return self._after(error)
        notify_opened(client.fileno())
        if client.fileno() >= self._most:  # the lowest free number, so it tells how many are open
            self._drops["full"] += 1
            client.close()
            return None
        client.setblocking(False)
        return client, address

    def _after(self, error: OSError) -> None:
        if self._closed:
            # On this error the web server ends in an orderly way.
            raise OSError(errno.ESHUTDOWN, "no more connections are accepted") from None
        if error.errno in _OUT_OF_RESOURCES:
            log.error("no connection can be accepted", reason=error.strerror)
            eventlet.sleep(1)
        elif not isinstance(error, ConnectionError):  # that one: the client is gone already
            raise error
