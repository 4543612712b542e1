"""The door of a serving process: who asks for a socket alone goes another way than pages do.

After a restart everybody comes at once. Eventlet's web server gives each a greenlet, a request and
files of its own, which is most of what a handshake costs, and for which a socket has no use.
"""

from __future__ import annotations

import errno
import resource
import socket as sockets
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any

import eventlet
import structlog
from eventlet.greenio import GreenSocket
from eventlet.hubs import notify_opened, trampoline

from portal.realtime.fanout.request_head import upgrade_head
from portal.realtime.fanout.send_buffer import dropped

log = structlog.get_logger(__name__)

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

#: Handshakes of one turn of the event loop; pages are answered between two turns.
_AT_ONCE = 32
_LONGEST_HEAD = 8192
#: Seconds in which the kernel keeps a connection on which nothing has been said.
_SILENCE = 5
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

#: What does not differ between them. Nothing is read from such a request.
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


def nothing(_environs: Sequence[dict[str, Any]]) -> None:
    """Of an application that need not know who comes."""


class Lobby:
    """Those who ask for a socket and nothing else, until it is their turn.

    ``look_ahead`` is given the requests of each turn before the application is.
    """

    def __init__(
        self, app: WSGI, look_ahead: Callable[[Sequence[dict[str, Any]]], None] = nothing
    ) -> None:
        self._app = app
        self._look_ahead = look_ahead
        self._waiting: deque[tuple[Any, dict[str, Any]]] = deque()
        self._busy = False

    def takes(self, client: Any, address: Any) -> bool:
        """Whether this connection is none for the web server. Nothing was read of one that is."""
        try:
            data = client.recv(_LONGEST_HEAD, sockets.MSG_PEEK)
            head = upgrade_head(data)
            if head is not None:
                client.recv(head.length)
        except BlockingIOError:
            return False
        except OSError:  # it is gone
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
        number = min(_AT_ONCE, len(self._waiting))
        together = [self._waiting.popleft() for _ in range(number)]
        try:
            self._look_ahead([environ for _, environ in together])
        finally:
            for client, environ in together:
                eventlet.spawn_n(self._handshake, client, environ)
            if self._waiting:
                eventlet.spawn_n(self._turn)
            else:
                self._busy = False

    def _handshake(self, client: Any, environ: dict[str, Any]) -> None:
        """Asks the application, which takes the socket or says why not."""
        given: list[Any] = []

        def give() -> tuple[Any, bytes]:
            given.append(client)
            return client, b""

        environ["portal.take_socket"] = give
        try:
            answer = _answer(self._app, environ)
            if not given:
                with suppress(OSError):  # it is gone, or reads nothing
                    client.send(answer)
        finally:
            if not given:
                client.close()


def _answer(app: WSGI, environ: dict[str, Any]) -> bytes:
    lines: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_more: object) -> None:
        lines[:] = [f"HTTP/1.1 {status}", *map(": ".join, headers), "Connection: close"]

    body = b"".join(app(environ, start_response))
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


class Door:
    """The listening socket. Several processes may have one on the same port, and the kernel shares
    the visitors out. It does not end the server when descriptors are short, and does when closed.
    """

    def __init__(self, host: str, port: int) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._most = most - min(256, most // 4)  # the rest is for files and processes
        family, _, _, _, address = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0]
        # After a restart everybody comes at once.
        self._listening = eventlet.listen(address, family, backlog=4096)
        # What is accepted has it too. The head of an answer goes out before its body, which would
        # else wait until the other side has acknowledged that: 40 ms as a rule.
        self._listening.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        if hasattr(sockets, "TCP_DEFER_ACCEPT"):
            # Whoever comes has said what for.
            self._listening.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_DEFER_ACCEPT, _SILENCE)
        self._closed = False
        self.lobby: Lobby | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def close(self) -> None:
        """Nobody comes in any more; the server answers those who are in, and ends."""
        self._closed = True
        with suppress(OSError):
            self._listening.shutdown(sockets.SHUT_RDWR)

    def accept(self) -> Any:
        """The next connection for the web server."""
        while True:
            for _ in range(2 * _AT_ONCE):
                found = self._next()
                if found is None:
                    break
                client, address = found
                if self.lobby is None or not self.lobby.takes(client, address):
                    return GreenSocket(client), address
            else:
                eventlet.sleep(0)  # the others of the loop have their turn
                continue
            trampoline(self._listening, read=True)

    def _next(self) -> Any:
        """A connection that has come and is not too much; None if there is none now."""
        try:
            client, address = self._listening.fd.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            return self._after(error)
        notify_opened(client.fileno())
        if client.fileno() >= self._most:  # the lowest free number: it tells how many there are
            dropped["full"] += 1
            client.close()
            return None
        client.setblocking(False)
        return client, address

    def _after(self, error: OSError) -> None:
        if self._closed:
            # What the web server takes for an orderly end.
            raise OSError(errno.ESHUTDOWN, "The door is closed") from None
        if error.errno in _SHORT:
            log.error("no connection can be accepted", reason=error.strerror)
            eventlet.sleep(1)
        elif not isinstance(error, ConnectionError):  # it is gone already
            raise error
