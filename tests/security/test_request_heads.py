"""Requests with a defect in their head: refused at once, told why, and nothing of them is kept."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, with_users

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    running = with_users(
        tmp_path_factory.mktemp("heads"), migrated, CopiedPortal, PORTAL_LOG_FORMAT="json"
    )
    running.start()
    yield running
    running.clean_up()


@pytest.fixture
def answer(server: PortalServer) -> Callable[..., bytes]:
    """Sends bytes, then more of them again and again, and gives all that came back until the
    portal closed. It fails if the portal keeps the connection open, or takes all of it."""

    def send(data: bytes, endless: bytes = b"", at_most: int = 0) -> bytes:
        with closing(socket.create_connection(("127.0.0.1", server.port), 20)) as connection:
            with suppress(OSError):
                connection.sendall(data)
                for _ in range(at_most):
                    connection.sendall(endless)
                assert not at_most, "it took everything"
            received = b""
            with suppress(ConnectionResetError):
                while read := connection.recv(65536):
                    received += read
            return received

    return send


def memory(server: PortalServer) -> int:
    text = Path(f"/proc/{server.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


CHUNKED = b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (CHUNKED + b"5;", b"a" * MIB),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", b"X-Trailer: " + b"a" * 1000 + b"\r\n"),
        (CHUNKED + b"0" * 100, b"0" * MIB),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"a" * MIB),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: " + b"a" * 8000 + b"\r\n"),
        (b"GET /", b"a" * MIB),
        (b"", b"\r\n" * 1000),
    ],
    ids=["extension", "trailers", "size", "header", "headers", "address", "empty lines"],
)
def test_nothing_that_has_no_end_is_kept(
    server: PortalServer, answer: Callable[..., bytes], begin: bytes, endless: bytes
) -> None:
    before = memory(server)
    received = answer(begin, endless, 40 * MIB // len(endless))
    assert memory(server) - before < 4 * MIB
    assert received[:12] in (
        b"",
        b"HTTP/1.1 400",
        b"HTTP/1.1 411",
        b"HTTP/1.1 414",
        b"HTTP/1.1 431",
    )


GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /login HTTP/1.1\r\nHost: x\r\n"
DEFECTS = {
    "chunks": (POST + b"Transfer-Encoding: chunked\r\n", 411),
    "chunks by another case": (GET + b"transfer-encoding: Chunked\r\n", 411),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n", 400),
    "one length twice": (
        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n", 400),
    "lengths in a list": (POST + b"Content-Length: 1, 1\r\n", 400),
    "length with a sign": (POST + b"Content-Length: +1\r\n", 400),
    "length with a line below": (POST + b"Content-Length: 1_0\r\n", 400),
    "length of other digits": (POST + b"Content-Length: \xb2\r\n", 400),
    "length without digits": (POST + b"Content-Length:\r\n", 400),
    "length and chunks": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    "another coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n", 400),
    "nearly chunked": (POST + b"Transfer-Encoding: xchunked\r\n", 400),
    "chunked twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        400),
    "chunks of 1.0": (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n", 400),
    "vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n", 400),
    "no colon": (GET + b"no colon\r\n", 400),
    "space before the colon": (b"GET /healthz HTTP/1.1\r\nHost : x\r\n", 400),
    "space in a name": (GET + b"X Y: 1\r\n", 400),
    "no name": (GET + b": 1\r\n", 400),
    "folded": (GET + b"X: a\r\n b\r\n", 400),
    "folded at the start": (b"GET /healthz HTTP/1.1\r\n Host: x\r\n", 400),
    "bare LF": (b"GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n", 400),
    "bare LF in the first line": (b"GET /healthz HTTP/1.1\nHost: x\r\n", 400),
    "bare CR": (GET + b"X: a\rb\r\n", 400),
    "NUL": (GET + b"X: a\0b\r\n", 400),
    "control character": (GET + b"X: a\x1bb\r\n", 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n", 400),
    "two hosts": (GET + b"Host: y\r\n", 400),
    "host that is none": (b"GET /healthz HTTP/1.1\r\nHost: a b\r\n", 400),
    "host with a path": (b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n", 400),
    "host with a user": (b"GET /healthz HTTP/1.1\r\nHost: x@evil.example\r\n", 400),
    "other host in the address": (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: x\r\n", 400),
    "no address": (b"GET healthz HTTP/1.1\r\nHost: x\r\n", 400),
    "two spaces": (b"GET  /healthz HTTP/1.1\r\nHost: x\r\n", 400),
    "space in the address": (b"GET /health z HTTP/1.1\r\nHost: x\r\n", 400),
    "bytes in the address": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n", 400),
    "0.9": (b"GET /healthz\r\n", 400),
    "1.1 in another form": (b"GET /healthz HTTP/01.1\r\nHost: x\r\n", 400),
    "2.0": (b"GET /healthz HTTP/2.0\r\nHost: x\r\n", 505),
    "empty": (b"\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n", 400),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_head_with_a_defect_is_refused_and_the_connection_closed(
    answer: Callable[..., bytes], defect: str
) -> None:
    head, status = DEFECTS[defect]
    # A second request behind it, which nobody may answer.
    received = answer(head + b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 %d " % status), received
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in received


@pytest.mark.parametrize(
    ("request_", "answers"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2, 2),
        (b"GET http://x/healthz HTTP/1.1\r\nHost: X\r\n\r\n", 1),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 1),
        (b"GET //healthz HTTP/1.1\r\nHost:\t x \t\r\n\r\n", 1),
        (b"GET /healthz HTTP/1.1\r\nHost: [::1]:8000\r\nX: \xe9\xff\r\n\r\n", 1),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" * 2, 2),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\r\nX: b\r\nX_Y: c\r\nY:\r\n\r\n", 1),
    ],
    ids=["two", "whole address", "1.0", "blanks", "other letters", "bodies", "headers"],
)
def test_head_without_a_defect_is_answered(
    answer: Callable[..., bytes], request_: bytes, answers: int
) -> None:
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    received = answer(request_ + last)
    assert received.count(b"HTTP/1.1 200 ") == answers, received


def test_refusals_are_counted_and_bear_the_headers(
    server: PortalServer, answer: Callable[..., bytes]
) -> None:
    def counted() -> int:
        line = r'portal_requests_refused_total\{process="0",reason="a header that is none"\} (\d+)'
        found = re.search(line, Person(server).get("/metrics").text)
        return int(found[1]) if found else 0

    before = counted()
    for status, data in (
        (b"400", DEFECTS["no colon"][0] + b"\r\n"),
        (b"411", CHUNKED),
        (b"414", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"),
        (b"431", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 200 + b"\r\n"),
    ):
        received = answer(data)
        assert received.startswith(b"HTTP/1.1 " + status), received
        for name in (
            b"Content-Security-Policy", b"X-Content-Type-Options: nosniff",
            b"X-Frame-Options: DENY", b"Referrer-Policy", b"Permissions-Policy",
            b"Cross-Origin-Resource-Policy", b"Cache-Control: no-store",
        ):  # fmt: skip
            assert b"\r\n" + name in received
    assert counted() == before + 1


@pytest.mark.parametrize(
    "line",
    [
        b'GET / level=info event="forged" HTTP/9.9',
        b'GET / HTTP/1.1\rlevel=info event="forged"',
        b'{"event": "forged"}',
        b'\x1b[2Jevent="forged"',
    ],
)
def test_nothing_of_a_refused_request_stands_in_the_log(
    server: PortalServer, answer: Callable[..., bytes], line: bytes
) -> None:
    assert answer(line + b"\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert "forged" not in server.log
    assert all(entry.startswith('{"') for entry in server.log.splitlines() if "refused" in entry)
