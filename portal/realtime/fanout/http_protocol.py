"""HTTP of a serving process: what eventlet's web server does, but heads are read strictly."""

from __future__ import annotations

import socket as sockets
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import eventlet.wsgi
import structlog
from eventlet.hubs import notify_opened

from portal.realtime.fanout.request_head import MAX_LINE, RefusedHead, plain_head, read_head

log = structlog.get_logger(__name__)

#: After a refusal: reads of what the client still sends, and seconds for each.
_LAST_READS = 16
_LAST_READ_SECONDS = 0.5


class Refusals:
    """Answers to requests that the application does not see. ``headers`` are in each of them;
    ``counts`` counts them by reason."""

    def __init__(self, headers: Iterable[tuple[str, str]], counts: Counter[str]) -> None:
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.counts = counts

    def answer(self, status: int) -> bytes:
        phrase = HTTPStatus(status).phrase
        body = f"{phrase}\n"
        return (
            f"HTTP/1.1 {status} {phrase}\r\n{self._headers}"
            f"Date: {eventlet.wsgi.format_date_time(time.time())}\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n{body}"
        ).encode("latin-1")


class HttpProtocol(eventlet.wsgi.HttpProtocol):
    """Reads heads strictly, and lets the application take the socket over. The web server then
    treats it as closed."""

    connection: Any
    rfile: Any
    wfile: Any

    def __init__(self, refusals: Refusals, conn_state: Any, server: Any) -> None:
        self._refusals = refusals
        super().__init__(conn_state, server)  # answers all requests of the connection

    def _read_request_line(self) -> bytes:
        line: bytes = super()._read_request_line() or b""
        if len(line) < MAX_LINE:
            return line
        self._refuse(RefusedHead(414, "an address too long"))
        return b""

    def parse_request(self) -> bool:
        """The library's parser keeps lines of any length, accepts what proxies read in other ways,
        and answers and logs by itself; so it is never called."""
        stream = self.rfile.fp
        try:
            head = plain_head(self.raw_requestline, stream.peek()) or read_head(
                self.raw_requestline, stream.readline
            )
        except RefusedHead as defect:
            self._refuse(defect)
            return False
        stream.read(head.length)
        self.requestline = self.raw_requestline.decode().rstrip()
        self.command, self.path, self.request_version = head.method, head.path, head.version
        self.headers = head.headers
        options = ",".join(head.headers.get_all("Connection", [])).lower()
        words = {word.strip() for word in options.split(",")}
        self.close_connection = "close" in words or (
            head.version == "HTTP/1.0" and "keep-alive" not in words
        )
        return True

    def _refuse(self, defect: RefusedHead) -> None:
        """Answers and closes. For a moment it reads what the client still sends: on a socket that
        is closed with unread bytes the answer is lost."""
        self.close_connection = True
        self._refusals.counts[defect.reason] += 1
        log.info("request refused", status=defect.status, reason=defect.reason)
        with suppress(OSError):
            self.wfile.write(self._refusals.answer(defect.status))
            self.wfile.flush()
            self.connection.shutdown(sockets.SHUT_WR)
            self.connection.settimeout(_LAST_READ_SECONDS)
            for _ in range(_LAST_READS):
                if not self.connection.recv(16384):
                    break

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["SERVER_PROTOCOL"] = self.request_version
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
