"""The head of every answer bears the security headers, whoever wrote it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from portal.web.security_headers import SecurityHeadersMiddleware
from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, with_users

NAMES = {
    "content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy",
    "cross-origin-opener-policy", "cross-origin-resource-policy", "permissions-policy",
    "x-permitted-cross-domain-policies", "strict-transport-security", "cache-control",
}  # fmt: skip
#: What holds for pages alone, and is left out of scripts and style sheets.
OF_PAGES = {
    "cross-origin-opener-policy", "permissions-policy", "x-permitted-cross-domain-policies",
    "x-frame-options", "referrer-policy",
}  # fmt: skip
SOCKET = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    folder = tmp_path_factory.mktemp("answers")
    running = with_users(
        folder,
        migrated,
        CopiedPortal,
        PORTAL_ALLOWED_HOSTS="x,127.0.0.1",
        PORTAL_SECURE_COOKIES="true",
    )
    running.start()
    yield running
    running.clean_up()


@pytest.fixture
def head_of(server: PortalServer) -> Callable[..., str]:
    def ask(request: str) -> str:
        with closing(socket.create_connection(("127.0.0.1", server.port), 20)) as connection:
            connection.sendall(request.encode("latin-1"))
            received = b""
            while b"\r\n\r\n" not in received and (read := connection.recv(65536)):
                received += read
        return received.partition(b"\r\n\r\n")[0].decode("latin-1")

    return ask


def static_files(server: PortalServer) -> list[str]:
    """One address of each kind, and one of another release."""
    page = Person(server).get("/login").text
    (script,) = set(re.findall(r'src="(/static/[^"]+/js/[^"]+\.js)"', page)[:1])
    prefix = script.partition("js/")[0]
    return [
        script,
        *re.findall(r'href="(/static/[^"]+\.(?:css|svg))"', page),
        script.replace(prefix.split("/")[2], "0" * 12),
        f"{prefix}nowhere.js",
        f"{prefix}../../../etc/passwd",
    ]


def test_every_head_bears_the_headers(server: PortalServer, head_of: Callable[..., str]) -> None:
    get = "GET {} HTTP/1.1\r\nHost: x\r\n"
    requests = {
        **{path: get.format(path) for path in static_files(server)},
        **{
            path: get.format(path)
            for path in (
                "/", "/login", "/nowhere", "/healthz", "/readyz", "/metrics", "/api/v1/jobs",
                "/api/v1/openapi.json", "/api/jobs/1/progress", "/%ff%00", "/favicon.ico",
                "/socket.io/", "/socket.io/?EIO=3&transport=websocket", SOCKET,
                "/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=polling&j=x",
            )
        },
        "a static file as a head": get.format(static_files(server)[0]).replace("GET", "HEAD"),
        "a part of a static file": get.format(static_files(server)[0]) + "Range: bytes=0-9\r\n",
        "no part of a static file": get.format(static_files(server)[0]) + "Range: bytes=9-0\r\n",
        "the same static file": get.format(static_files(server)[0])
        + "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
        "a method for a static file": get.format(static_files(server)[0]).replace("GET", "POST"),
        "a method": get.format("/login").replace("GET", "BREW"),
        "a method for sockets": get.format(SOCKET).replace("GET", "PUT"),
        "options of sockets": get.format(SOCKET).replace("GET", "OPTIONS"),
        "an upgrade": get.format(SOCKET) + "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "a foreign page": get.format(SOCKET) + "Origin: http://evil.example\r\n",
        "another host": get.format("/").replace("Host: x", "Host: evil.example"),
        "a long body": get.format("/login").replace("GET", "POST") + "Content-Length: 9999999\r\n",
        "chunks": get.format("/login").replace("GET", "POST") + "Transfer-Encoding: chunked\r\n",
        "no header": get.format("/") + "no header\r\n",
        "a long address": get.format("/" + "x" * 9000),
        "a long header": get.format("/") + "X: " + "x" * 9000 + "\r\n",
        "many headers": get.format("/") + "X: x\r\n" * 101,
        "another version": get.format("/").replace("HTTP/1.1", "HTTP/3.0"),
    }  # fmt: skip
    statuses = set()
    for what, request in requests.items():
        status, *fields = head_of(request + "\r\n").split("\r\n")
        statuses.add(int(status.split()[1]))
        named = [field.partition(":")[0].lower() for field in fields]
        is_page = not re.search(r"(?im)^content-type: text/(javascript|css)", "\n".join(fields))
        wanted = NAMES if is_page else NAMES - OF_PAGES
        assert set(named) >= wanted, (what, status, wanted - set(named))
        assert {name for name in named if named.count(name) > 1} <= {"set-cookie", "vary"}, what
        assert "server" not in named, what
    assert statuses >= {200, 206, 302, 304, 400, 401, 403, 404, 405, 411, 413, 414, 431, 505}


def test_layer_that_fails_is_answered_with_the_headers_too() -> None:
    def broken(_environ: Any, _start: Any) -> Iterable[bytes]:
        raise ZeroDivisionError

    heads: list[tuple[str, list[tuple[str, str]]]] = []
    layer = SecurityHeadersMiddleware(broken, always_secure=True)
    environ = {"wsgi.url_scheme": "http", "PATH_INFO": "/", "REQUEST_METHOD": "GET"}
    body = b"".join(layer(environ, lambda status, headers: heads.append((status, headers))))
    [(status, headers)] = heads
    assert status.startswith("500 ")
    assert b"ZeroDivision" not in body
    assert {name.lower() for name, _ in headers} >= NAMES
