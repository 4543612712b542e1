"""WebSocket frames (RFC 6455): encodes those of a server, decodes those of a client.

No extension is ever negotiated, so a frame is the same bytes for every client.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import re
import struct
from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUATION = 0
_FINAL, _MASKED, _KIND = 0x80, 0x80, 0x0F
_LONGEST_CONTROL = 125
#: Codes that may be sent (7.4.1), and those that were registered since. The others below 3000 are
#: reserved, or are for what happened without a close frame.
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1014)})
_Utf8Decoder = codecs.getincrementaldecoder("utf-8")
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ProtocolError(Exception):
    """The client broke the protocol or a limit. ``code`` goes into the close frame, ``count`` is
    the reason under which it is counted."""

    def __init__(self, code: int, reason: str, count: str = "broken frame") -> None:
        super().__init__(reason)
        self.code = code
        self.count = count


def frame(payload: bytes, kind: int = TEXT) -> bytes:
    """A server's frame: not masked, not fragmented."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", _FINAL | kind, length) + payload
    if length < 65536:
        return struct.pack("!BBH", _FINAL | kind, 126, length) + payload
    return struct.pack("!BBQ", _FINAL | kind, 127, length) + payload


def close_frame(code: int) -> bytes:
    return frame(struct.pack("!H", code), CLOSE)


def accept_key(key: str) -> str:
    """The server's answer to ``Sec-WebSocket-Key``."""
    return base64.b64encode(hashlib.sha1(key.encode() + _KEY_SUFFIX).digest()).decode()  # noqa: S324 - the protocol's


def is_key(key: str) -> bool:
    """Whether ``Sec-WebSocket-Key`` is what it has to be: sixteen bytes in Base64."""
    return _KEY.fullmatch(key) is not None


class Reader:
    """Assembles a client's bytes, however they arrive, into messages and control frames.

    Messages are text: our clients send nothing else, and whatever could be sent beside it would
    have to be kept until it is whole.
    """

    __slots__ = ("_buffer", "_decoder", "_limit", "_parts")

    def __init__(self, limit: int) -> None:
        """``limit``: bytes of the longest message."""
        self._limit = limit
        self._buffer = b""
        self._parts: list[bytes] | None = None  # fragments of a message that is not whole yet
        self._decoder = _Utf8Decoder()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yields what ``data`` completes, as kind and payload; raises ProtocolError. Nothing comes
        after a close frame."""
        self._buffer += data
        while (found := self._take()) is not None:
            head, payload = found
            kind = head & _KIND
            if kind < CLOSE:
                if (message := self._join(head, payload)) is not None:
                    yield TEXT, message
                continue
            if kind == CLOSE:
                _check_close(payload)
            yield kind, payload
            if kind == CLOSE:
                return

    def _take(self) -> tuple[int, bytes] | None:
        """Removes the next whole frame; returns its first byte and its payload."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        head, length, start = buffer[0], buffer[1] & 0x7F, 2
        self._check_head(head, buffer[1])
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start])
            if length < (126 if start == 4 else 65536) or length >> 63:
                raise ProtocolError(1002, "a length in a wrong form")
        if length > self._limit:
            raise ProtocolError(1009, "a frame too long")
        end = start + 4 + length
        if len(buffer) < end:
            return None
        self._buffer = buffer[end:]
        return head, _unmasked(buffer[start : start + 4], buffer[start + 4 : end])

    def _check_head(self, head: int, second: int) -> None:
        kind = head & _KIND
        if head & 0x70:
            raise ProtocolError(1002, "an extension that was not negotiated")
        if not second & _MASKED:
            raise ProtocolError(1002, "a frame without a mask")
        if kind >= CLOSE:
            if kind > PONG or not head & _FINAL or second & 0x7F > _LONGEST_CONTROL:
                raise ProtocolError(1002, "not a valid control frame")
        elif kind > BINARY or (kind == _CONTINUATION) != (self._parts is not None):
            raise ProtocolError(1002, "a frame out of place")
        elif kind == BINARY:
            raise ProtocolError(1003, "a binary message")

    def _join(self, head: int, payload: bytes) -> bytes | None:
        try:
            self._decoder.decode(payload, bool(head & _FINAL))
        except UnicodeDecodeError:
            raise ProtocolError(1007, "text that is not UTF-8") from None
        if self._parts is None:
            if head & _FINAL:
                return payload
            self._parts = []
        self._parts.append(payload)
        # Their number is limited too: empty fragments would fill the memory as well.
        if sum(map(len, self._parts)) > self._limit or len(self._parts) > 64:
            raise ProtocolError(1009, "a message too long")
        if not head & _FINAL:
            return None
        message, self._parts = b"".join(self._parts), None
        return message


def _check_close(payload: bytes) -> None:
    if not payload:
        return
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or not (code in _CLOSE_CODES or 3000 <= code <= 4999):
        raise ProtocolError(1002, "a close code that is none")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(1007, "a close reason that is not UTF-8") from None


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    length = len(payload)
    key = int.from_bytes((mask * (length // 4 + 1))[:length])
    return (int.from_bytes(payload) ^ key).to_bytes(length)
