"""Parses the head of a plain request: a GET without a body, whose lines have only one reading.

The library parses all other requests. This parser only saves time: the library's takes as long as
everything else before the application together.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http.client import HTTPMessage
from typing import NamedTuple

_LINE = re.compile(rb"GET (/(?!/)[!-~]*) HTTP/1\.1\r\n")
_FIELD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~]*\r\n"
_HEAD = re.compile(rb"((?:" + _FIELD + rb"){0,60})\r\n")
#: Headers that mean that a request has a body.
_HAS_BODY = re.compile(rb"^(content-length|transfer-encoding|expect)[ \t]*:", re.I | re.M)


class Head(NamedTuple):
    path: str
    headers: HTTPMessage
    #: Bytes of the buffer that belong to the head.
    length: int


def plain_head(line: bytes, buffered: bytes) -> Head | None:
    """``line`` is the request line, ``buffered`` is what has arrived of the rest."""
    first, rest = _LINE.fullmatch(line), _HEAD.match(buffered)
    if first is None or rest is None or _HAS_BODY.search(rest[1]):
        return None
    headers = HTTPMessage()
    for field in rest[1].decode("ascii").split("\r\n")[:-1]:
        name, _, value = field.partition(":")
        headers.set_raw(name, value.lstrip("\t "))
    return Head(first[1].decode("ascii"), headers, rest.end())


# --- handshakes ---------------------------------------------------------------------------------

_UPGRADE = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
_MAX_FIELDS = 60
_PLAIN = bytes([9, *range(32, 127)])
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
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
    if len(lines) > _MAX_FIELDS or head.translate(None, _PLAIN) != b"\r\n" * (len(lines) - 1):
        return None
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = _key(name)
        if key is None or not colon:
            return None
        value = value.strip("\t ")
        fields[key] = f"{fields[key]},{value}" if key in fields else value
    fields.pop("", None)
    return Upgrade(fields, end + 4) if "HTTP_HOST" in fields else None


@lru_cache(maxsize=256)
def _key(name: str) -> str | None:
    """Returns the header's name in WSGI. It is empty for a name with an underscore, which WSGI
    would take for another header, so that the header is left out. Returns None if the request is
    not plain."""
    if not _NAME.fullmatch(name) or name.lower() in _NOT_PLAIN:
        return None
    return "" if "_" in name else "HTTP_" + name.replace("-", "_").upper()
