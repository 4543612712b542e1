"""The head of a plain request: a GET without a body, each of its lines beyond doubt.

Whatever else it may be, the library's reader decides; this one only saves it the work, which is as
much as all else before the application together.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http.client import HTTPMessage
from typing import NamedTuple

_LINE = re.compile(rb"GET (/(?!/)[!-~]*) HTTP/1\.1\r\n")
_FIELD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~]*\r\n"
_HEAD = re.compile(rb"((?:" + _FIELD + rb"){0,60})\r\n")
#: What makes a request more than plain: a body, or a wish to be asked for one.
_MORE = re.compile(rb"^(content-length|transfer-encoding|expect)[ \t]*:", re.I | re.M)


class Head(NamedTuple):
    path: str
    headers: HTTPMessage
    #: Bytes of it in the buffer.
    length: int


def plain_head(line: bytes, buffered: bytes) -> Head | None:
    """``line`` is the request's first; ``buffered`` what has come of the rest."""
    first, rest = _LINE.fullmatch(line), _HEAD.match(buffered)
    if first is None or rest is None or _MORE.search(rest[1]):
        return None
    headers = HTTPMessage()
    for field in rest[1].decode("ascii").split("\r\n")[:-1]:
        name, _, value = field.partition(":")
        headers.set_raw(name, value.lstrip("\t "))
    return Head(first[1].decode("ascii"), headers, rest.end())


# --- of a socket --------------------------------------------------------------------------------

_UPGRADE = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
_MOST_FIELDS = 60
_PLAIN = bytes([9, *range(32, 127)])
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_PLAIN = ("content-length", "content-type", "transfer-encoding", "expect")


class Upgrade(NamedTuple):
    """The fields as WSGI names them, and the bytes of the whole head."""

    fields: dict[str, str]
    length: int


def upgrade_head(data: bytes) -> Upgrade | None:
    """Of a request for a socket, as the browsers' client makes it. ``data``: the first bytes of a
    connection."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or not data.startswith(_UPGRADE):
        return None
    head = data[len(_UPGRADE) : end]
    lines = head.decode("latin-1").split("\r\n")
    if len(lines) > _MOST_FIELDS or head.translate(None, _PLAIN) != b"\r\n" * (len(lines) - 1):
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
    """The name in WSGI; empty for one that is left out, since it would pass for another there."""
    if not _NAME.fullmatch(name) or name.lower() in _NOT_PLAIN:
        return None
    return "" if "_" in name else "HTTP_" + name.replace("-", "_").upper()
