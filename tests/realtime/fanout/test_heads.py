"""Heads of requests that are read the short way say what the library's reader would have said."""

from __future__ import annotations

import io
from http.client import parse_headers

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.realtime.fanout import request_head

GET = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
PLAIN = (
    b"Host: portal.example\r\nCookie: portal=a.b-c_d; x=1\r\nX-Empty:\r\n"
    b"x-twice: 1\r\nX-Twice:\t 2 \r\n\r\n"
)


def test_plain_head_is_read_as_the_library_reads_it() -> None:
    head = request_head.plain_head(GET, PLAIN + b"more")
    assert head is not None
    assert head.path == "/socket.io/?EIO=4&transport=websocket"
    assert head.length == len(PLAIN)
    assert head.headers.items() == parse_headers(io.BytesIO(PLAIN)).items()
    assert head.headers.get("cookie") == "portal=a.b-c_d; x=1"


@pytest.mark.parametrize(
    "line",
    [
        b"POST / HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"GET /\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET //evil.example/ HTTP/1.1\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\n",
        b"GET / HTTP/1.1\n",
        b"GET /\xff HTTP/1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
    ],
)
def test_any_other_request_is_left_to_the_library(line: bytes) -> None:
    assert request_head.plain_head(line, PLAIN) is None


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"Host: x\r\n",
        b"Host: x\n\n",
        b"Host : x\r\n\r\n",
        b" folded\r\n\r\n",
        b"Host: x\r\n folded\r\n\r\n",
        b"no colon\r\n\r\n",
        b": no name\r\n\r\n",
        b"Bad\x00: x\r\n\r\n",
        b"X: \xe9\r\n\r\n",
        b"X: a\rb\r\n\r\n",
        b"content-LENGTH: 3\r\n\r\nabc",
        b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"Expect: 100-continue\r\n\r\n",
        b"X: 1\r\n" * 61 + b"\r\n",
    ],
)
def test_any_other_head_is_left_to_the_library(rest: bytes) -> None:
    assert request_head.plain_head(GET, rest) is None


@given(st.binary(max_size=60), st.integers(0, len(PLAIN)))
def test_what_is_taken_for_plain_means_the_same_to_the_library(extra: bytes, place: int) -> None:
    rest = PLAIN[:place] + extra + PLAIN[place:]
    head = request_head.plain_head(GET, rest)
    if head is not None:
        stream = io.BytesIO(rest)
        assert head.headers.items() == parse_headers(stream).items()
        assert stream.tell() == head.length
