"""The head of a plain request: a GET without a body, each of its lines beyond doubt.

Whatever else it may be, the library's reader decides; this one only saves it the work, which is as
much as all else before the application together.
"""

from __future__ import annotations

import re
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
