"""Handshakes read by the acceptor and by the web server. test_apart.py runs this in a process of
its own."""

from __future__ import annotations

import inspect
import io
import socket
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import eventlet.wsgi
from hypothesis import given
from hypothesis import strategies as st

from portal.realtime.fanout.acceptor import HandshakeQueue
from portal.realtime.fanout.http_protocol import HttpProtocol

LINE = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
FIELDS = (
    b"Host: portal.example:8000\r\nConnection: keep-alive, Upgrade\r\n"
    b"User-Agent: Mozilla/5.0 (X11)\r\n"
    b"upgrade: WebSocket\r\nOrigin: http://portal.example:8000\r\nSec-WebSocket-Version: 13\r\n"
    b"Cookie: portal=a.b-c_d; x=1\r\nCookie: y=2\r\n"
    b"X-Forwarded-For:\t1.2.3.4 \r\nX_Forwarded_For: 9\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Empty:\r\n\r\n"
)
ADDRESS = ("192.0.2.7", 50123)
#: What an application may ask about a request that has no body.
ASKED = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR",
         "SERVER_PROTOCOL", "wsgi.url_scheme")  # fmt: skip


def as_the_web_server(head: bytes) -> dict[str, Any]:
    protocol: Any = object.__new__(HttpProtocol)
    protocol.raw_requestline, _, rest = head.partition(b"\r\n")
    protocol.raw_requestline += b"\r\n"
    protocol.rfile = SimpleNamespace(fp=io.BufferedReader(io.BytesIO(rest)))
    protocol.wfile = io.BytesIO()
    protocol.client_address = ADDRESS
    protocol.connection = None
    protocol.request = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 8000))
    protocol.server = SimpleNamespace(get_environ=lambda: {"wsgi.url_scheme": "http"})
    assert protocol.parse_request(), "it was refused"
    environ: dict[str, Any] = protocol.get_environ()
    return environ


def seen_by(environ: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in environ.items()
        if name in ASKED or name.startswith("HTTP_")
    }  # fmt: skip


class Visit:
    """One connection on which these bytes came."""

    def __init__(
        self, data: bytes, *, status: str = "401 UNAUTHORIZED", fails: bool = False
    ) -> None:
        self.environs: list[dict[str, Any]] = []
        self.ahead: list[dict[str, Any]] = []
        self.status, self.fails = status, fails
        ours, self.client = socket.socketpair()
        ours.setblocking(False)
        self.client.settimeout(1)
        self.client.sendall(data)
        self.taken = HandshakeQueue(self.answer, self.look).try_accept(ours, ADDRESS)
        self.ours = ours
        with eventlet.Timeout(20):
            while self.taken and not self.environs:
                eventlet.sleep(0)

    def look(self, environs: Iterable[dict[str, Any]]) -> None:
        self.ahead += environs
        if self.fails:
            raise ZeroDivisionError

    def answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.environs.append(environ)
        start(self.status, [("Content-Length", "3")])
        return [b"no\n"]

    def close(self) -> None:
        self.client.close()
        self.ours.close()


NOISE = st.binary(max_size=40) | st.text("aA-_:, \t\r\n", max_size=20).map(str.encode)


@given(NOISE, st.integers(0, len(FIELDS)))
def test_what_takes_the_short_way_looks_the_same_to_the_application(
    extra: bytes, place: int
) -> None:
    head = LINE + FIELDS[:place] + extra + FIELDS[place:]
    visit = Visit(head)
    try:
        if visit.taken:
            assert seen_by(visit.environs[0]) == seen_by(as_the_web_server(head))
    finally:
        visit.close()


def test_who_is_refused_is_told_and_hung_up_on_and_who_is_no_socket_was_not_read() -> None:
    refused = Visit(LINE + FIELDS)
    assert refused.environs == refused.ahead != []
    assert refused.client.recv(999) == (
        b"HTTP/1.1 401 UNAUTHORIZED\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n"
    )
    assert refused.client.recv(999) == b""
    refused.close()
    for data in (
        LINE + FIELDS[:-2],  # not whole
        LINE.replace(b"=4", b"=3") + FIELDS,
        LINE.replace(b"websocket", b"polling") + FIELDS,
        LINE.replace(b"GET", b"POST") + FIELDS,
        LINE + b"Content-Length: 3\r\n" + FIELDS + b"abc",
        b"GET /login HTTP/1.1\r\n" + FIELDS,
    ):
        visit = Visit(data)
        assert not visit.taken
        assert visit.ours.recv(9999) == data
        visit.close()


def test_authenticate_batch_that_fails_keeps_nobody_out() -> None:
    visit = Visit(LINE + FIELDS, fails=True)
    assert visit.taken
    assert visit.client.recv(999).startswith(b"HTTP/1.1 401")
    visit.close()


def test_web_server_has_the_parts_that_are_used_or_replaced() -> None:
    theirs = eventlet.wsgi.HttpProtocol
    for name in ("_read_request_line", "parse_request", "get_environ", "finish"):
        assert list(inspect.signature(getattr(theirs, name)).parameters) == ["self"], name
    assert list(inspect.signature(theirs.__init__).parameters) == ["self", "conn_state", "server"]
    assert eventlet.wsgi.FileObjectForHeaders(io.BytesIO()).fp is not None
    assert hasattr(eventlet.wsgi, "WSGI_LOCAL")
    assert eventlet.wsgi.format_date_time(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    # The head is read by parse_request, between the request line and the environ.
    read = inspect.getsource(theirs.handle_one_request)
    steps = ("_read_request_line()", "FileObjectForHeaders(", "parse_request()", "get_environ()")
    assert sorted(steps, key=read.index) == list(steps)
