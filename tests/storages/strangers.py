"""Servers that are no storage, or refuse as services do that nobody can run here: each answers
every request with the same words, recorded from the service or taken from its documentation."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def s3_error(code: str, words: str = "", more: str = "") -> str:
    return f"<Error><Code>{code}</Code><Message>{words}</Message>{more}</Error>"


def azure_error(code: str, detail: str = "") -> str:
    more = f"<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>"
    return f'<?xml version="1.0"?>{s3_error(code, "Server failed to authenticate.", more)}'


@contextmanager
def answering(status: int, body: str, *, certificate: Path | None = None) -> Iterator[int]:
    """The port of a server that gives the same answer to whatever it is asked by HTTP."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            kind = "application/json" if body.startswith("{") else "application/xml"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body.encode())))
            if status in (301, 302):
                self.send_header("Location", "/sign-in")
            if (code := re.search("<Code>(.*?)</Code>", body)) is not None:
                self.send_header("x-ms-error-code", code[1])
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_HEAD = do_POST = do_PUT = do_PROPFIND = _answer  # noqa: N815 - their names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # broken off by the client
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def saying(banner: bytes, *, hang_up: bool = False) -> Iterator[int]:
    """The port of a server that says this to whoever comes, and then waits, or hangs up."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                connection = server.accept()[0]
                connection.sendall(banner)
                if hang_up:
                    connection.close()
                else:
                    kept.append(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
        for connection in kept:
            connection.close()
