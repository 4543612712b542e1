"""WebSocket frames (RFC 6455): encodes those of a server, decodes those of a client.

No extension is ever negotiated, so a frame is the same bytes for every client.
"""

from __future__ import annotations

import base64
import hashlib
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUATION = 0
_FINAL, _MASKED = 0x80, 0x80
_LONGEST_CONTROL = 125
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ProtocolError(Exception):
    """The client broke the protocol or a limit; ``code`` goes into the close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


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


class Reader:
    """Assembles a client's bytes, however they arrive, into messages and control frames."""

    __slots__ = ("_buffer", "_kind", "_limit", "_parts")

    def __init__(self, limit: int) -> None:
        """``limit``: bytes of the longest message."""
        self._limit = limit
        self._buffer = b""
        self._kind = 0  # of the message whose fragments are being collected
        self._parts: list[bytes] | None = None

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Returns what ``data`` completes, as kind and payload; raises ProtocolError."""
        self._buffer += data
        complete = []
        while (found := self._take()) is not None:
            head, payload = found
            kind = head & 0x0F
            if head & 0x70:
                raise ProtocolError(1002, "an extension that was not negotiated")
            if kind >= CLOSE:
                self._check_control(head, kind, payload)
                complete.append((kind, payload))
            elif (message := self._join(head, kind, payload)) is not None:
                complete.append(message)
        return complete

    def _take(self) -> tuple[int, bytes] | None:
        """Removes the next whole frame; returns its first byte and its payload."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        head, length, start = buffer[0], buffer[1] & 0x7F, 2
        if not buffer[1] & _MASKED:
            raise ProtocolError(1002, "a frame without a mask")
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start])
        if length > self._limit:
            raise ProtocolError(1009, "a frame too long")
        end = start + 4 + length
        if len(buffer) < end:
            return None
        self._buffer = buffer[end:]
        return head, _unmasked(buffer[start : start + 4], buffer[start + 4 : end])

    def _join(self, head: int, kind: int, payload: bytes) -> tuple[int, bytes] | None:
        if kind not in (_CONTINUATION, TEXT, BINARY) or (kind == 0) != (self._parts is not None):
            raise ProtocolError(1002, "a frame out of place")
        if self._parts is None:
            if head & _FINAL:
                return kind, payload
            self._kind, self._parts = kind, []
        self._parts.append(payload)
        # Their number is limited too: empty fragments would fill the memory as well.
        if sum(map(len, self._parts)) > self._limit or len(self._parts) > 64:
            raise ProtocolError(1009, "a message too long")
        if not head & _FINAL:
            return None
        message, self._parts = b"".join(self._parts), None
        return self._kind, message

    @staticmethod
    def _check_control(head: int, kind: int, payload: bytes) -> None:
        if kind > PONG or not head & _FINAL or len(payload) > _LONGEST_CONTROL:
            raise ProtocolError(1002, "not a valid control frame")


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    length = len(payload)
    key = int.from_bytes((mask * (length // 4 + 1))[:length])
    return (int.from_bytes(payload) ^ key).to_bytes(length)
