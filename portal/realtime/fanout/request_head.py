"""Parses the heads of requests, and refuses every head with a defect (RFC 9112).

A defect is whatever two programs could read in two ways: a proxy and the portal would each see
another request. ``read_head`` parses any head. ``plain_head`` and ``upgrade_head`` parse the two
kinds that most heads are of, with the same result, and leave all others to it: they save time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from http.client import HTTPMessage
from typing import NamedTuple

#: Bytes of a line and of a whole head, and lines of one.
MAX_LINE = 8192
_MAX_HEAD = 65536
_MAX_FIELDS = 100

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/(\d)\.(\d)\r\n")
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):([\t -~\x80-\xff]*)\r\n")
_ABSOLUTE = re.compile(r"https?://([^/?#]+)([/?].*)?", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


class Head(NamedTuple):
    method: str
    path: str
    version: str
    headers: HTTPMessage
    #: Bytes of the buffer that belong to the head and are to be skipped.
    length: int = 0


class RefusedHead(Exception):
    """A head that is not answered by the application; ``status`` is that of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class RefusedHeads(Counter[str]):
    """Requests of one application that were refused for a defect of their head, by reason; read by
    the metrics."""


def read_head(line: bytes, readline: Callable[[int], bytes]) -> Head:
    """``line`` is the request line, ``readline`` gives the next line but no more than that many
    bytes of it. Raises RefusedHead as soon as the defect is read."""
    method, target, version = _parse_request_line(line)
    headers = HTTPMessage()
    size = len(line)
    while (read := readline(MAX_LINE)) != b"\r\n":
        size += len(read)
        if len(read) >= MAX_LINE or size > _MAX_HEAD or len(headers) >= _MAX_FIELDS:
            raise RefusedHead(431, "headers too large")
        field = _FIELD_LINE.fullmatch(read)
        if field is None:
            raise RefusedHead(400, "a header that is none")
        headers.set_raw(field[1].decode("ascii"), field[2].decode("latin-1").strip("\t "))
    _check_body(headers, version)
    return Head(method, _path(target, _host(headers, version)), version, headers)


def _parse_request_line(line: bytes) -> tuple[str, str, str]:
    parts = _REQUEST_LINE.fullmatch(line)
    if parts is None:
        if len(line) >= MAX_LINE:
            raise RefusedHead(414, "an address too long")
        raise RefusedHead(400, "a request line that is none")
    method, target, major, minor = (part.decode("ascii") for part in parts.groups())
    if major != "1":
        raise RefusedHead(505, "another version of HTTP")
    # Whoever speaks a later 1.x understands an answer of 1.1.
    return method, target, "HTTP/1.0" if minor == "0" else "HTTP/1.1"


def _check_body(headers: HTTPMessage, version: str) -> None:
    """The length of the body has to be known before it is read. Chunks, whose size lines and
    trailers have no limit of their own, are refused: no client of ours sends any."""
    lengths, codings = headers.get_all("Content-Length", []), headers.get_all("Transfer-Encoding")
    if codings is not None:
        if lengths or len(codings) > 1 or codings[0].lower() != "chunked" or version == "HTTP/1.0":
            raise RefusedHead(400, "a body of unclear length")
        raise RefusedHead(411, "a body in chunks")
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise RefusedHead(400, "a body of unclear length")


def _host(headers: HTTPMessage, version: str) -> str:
    hosts = headers.get_all("Host", [])
    if len(hosts) > 1 or (not hosts and version == "HTTP/1.1"):
        raise RefusedHead(400, "not exactly one host")
    host = "".join(hosts)
    if not _HOST.fullmatch(host):
        raise RefusedHead(400, "a host that is none")
    return host


def _path(target: str, host: str) -> str:
    """The target without a host. If it names one, it has to be that of the header."""
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or absolute[1].lower() != host.lower():
            raise RefusedHead(400, "an address that is none")
        target = absolute[2] or ""
    # Two slashes would begin a host's name wherever the path is repeated.
    return "/" + target.lstrip("/")


# --- plain requests: a GET without a body ---------------------------------------------------------

_LINE = re.compile(rb"GET (/(?!/)[!-~]*) HTTP/1\.1\r\n")
_FIELD = _TOKEN + rb":[\t -~]*\r\n"
_HEAD = re.compile(rb"((?:" + _FIELD + rb"){0,60})\r\n")
#: Headers that mean that a request has a body, and the one that every request has once.
_SPECIAL = re.compile(
    rb"^(content-length|transfer-encoding|expect|host):[\t ]*([^\r]*)", re.IGNORECASE | re.MULTILINE
)


def plain_head(line: bytes, buffered: bytes) -> Head | None:
    """``line`` is the request line, ``buffered`` is what has arrived of the rest."""
    first, rest = _LINE.fullmatch(line), _HEAD.match(buffered)
    if first is None or rest is None or not _has_only_a_host(rest[1]):
        return None
    headers = HTTPMessage()
    for field in rest[1].decode("ascii").split("\r\n")[:-1]:
        name, _, value = field.partition(":")
        headers.set_raw(name, value.strip("\t "))
    return Head("GET", first[1].decode("ascii"), "HTTP/1.1", headers, rest.end())


def _has_only_a_host(fields: bytes) -> bool:
    found = _SPECIAL.findall(fields)
    return (
        len(found) == 1
        and len(found[0][0]) == len(b"host")
        and _HOST.fullmatch(found[0][1].decode("ascii").rstrip("\t ")) is not None
    )


# --- handshakes ---------------------------------------------------------------------------------

_UPGRADE = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
_MAX_UPGRADE_FIELDS = 60
_PLAIN = bytes([9, *range(32, 127)])
_NAME = re.compile(_TOKEN.decode())
_NOT_PLAIN = ("content-length", "content-type", "transfer-encoding", "expect")


class Upgrade(NamedTuple):
    """The headers by their names in WSGI, and the length of the whole head in bytes."""

    fields: dict[str, str]
    length: int


def upgrade_head(data: bytes) -> Upgrade | None:
    """Parses a handshake as browsers send it. ``data``: the first bytes of a connection."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or not data.startswith(_UPGRADE):
        return None
    head = data[len(_UPGRADE) : end]
    lines = head.decode("latin-1").split("\r\n")
    number = len(lines)
    if number > _MAX_UPGRADE_FIELDS or head.translate(None, _PLAIN) != b"\r\n" * (number - 1):
        return None
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = _key(name)
        if key is None or not colon or (key == "HTTP_HOST" and key in fields):
            return None
        value = value.strip("\t ")
        fields[key] = f"{fields[key]},{value}" if key in fields else value
    fields.pop("", None)
    host = fields.get("HTTP_HOST")
    return None if host is None or not _HOST.fullmatch(host) else Upgrade(fields, end + 4)


@lru_cache(maxsize=256)
def _key(name: str) -> str | None:
    """Returns the header's name in WSGI. It is empty for a name with an underscore, which WSGI
    would take for another header, so that the header is left out. Returns None if the request is
    not plain."""
    if not _NAME.fullmatch(name) or name.lower() in _NOT_PLAIN:
        return None
    return "" if "_" in name else "HTTP_" + name.replace("-", "_").upper()
