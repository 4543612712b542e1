"""Clients with a WebSocket parser of their own, which takes nothing but whole frames."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.waiting import wait_for

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of that key: RFC 6455, 1.3


class Torn(AssertionError):
    """Bytes that are no frames."""


def parse(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Frames of a server, by RFC 6455, and what is left over."""
    frames = []
    while len(data) >= 2:
        first, second = data[0], data[1]
        if first not in (0x81, 0x82, 0x88, 0x89, 0x8A) or second & 0x80:
            raise Torn(f"no frame of a server: {data[:20]!r}")
        start, length = 2, second
        if second == 126:
            start, length = 4, int.from_bytes(data[2:4], "big")
        elif second == 127:
            start, length = 10, int.from_bytes(data[2:10], "big")
        if len(data) < start or len(data) < start + length:
            break
        frames.append((first & 0x0F, data[start : start + length]))
        data = data[start + length :]
    return frames, data


def masked(payload: bytes, first: int = 0x81) -> bytes:
    mask = os.urandom(4)
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    if len(payload) < 126:
        return struct.pack("!BB", first, 0x80 | len(payload)) + mask + body
    return struct.pack("!BBH", first, 0xFE, len(payload)) + mask + body


class Client:
    def __init__(
        self,
        port: int,
        *,
        buffer: int | None = None,
        bite: int = 65536,
        ask: Callable[[socket.socket, bytes], None] = socket.socket.sendall,
    ) -> None:
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect(("127.0.0.1", port))
        request = (
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
            f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        )
        ask(self.socket, request.encode())
        self.bite = bite
        self.bytes_read = 0
        self.rest = b""
        self.head: bytes | None = None
        self.events: list[tuple[str, Any]] = []
        self.others: list[tuple[int, bytes]] = []
        self.pings = 0
        self.ended = False

    def connect(self, auth: object = None) -> None:
        self.send("40" + ("" if auth is None else json.dumps(auth)))

    def send(self, text: str) -> None:
        self.socket.sendall(masked(text.encode()))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> None:
        try:
            data = self.socket.recv(self.bite)
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            return
        self.bytes_read += len(data)
        self.rest += data
        if self.head is None:
            head, separator, self.rest = self.rest.partition(b"\r\n\r\n")
            if not separator:
                self.rest = head
                return
            self.head = head
        if self.head.startswith(b"HTTP/1.1 101"):
            assert ACCEPT in self.head
            assert b"extensions" not in self.head.lower()
            frames, self.rest = parse(self.rest)
            for kind, payload in frames:
                self._take(kind, payload)

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == 1 and payload == b"2":
            self.pings += 1
            self.send("3")
        elif kind == 1 and payload.startswith(b"42"):
            name, data = json.loads(payload[2:])
            self.events.append((name, data))
        else:
            self.others.append((kind, payload))

    @property
    def connected(self) -> bool:
        return any(payload.startswith(b"40") for _, payload in self.others)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Goes without a word: the other side reads ECONNRESET."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def statuses(self) -> list[Any]:
        return [data["n"] for name, data in self.events if name == "job_status_change"]

    def newest(self) -> dict[int, int]:
        """Of each job, after making sure that none of its events came late."""
        seen: dict[int, int] = {}
        for name, data in self.events:
            if name == "job_progress":
                assert data["n"] > seen.get(data["job_id"], -1), "an older event overtook"
                seen[data["job_id"]] = data["n"]
        return seen


def pump(clients: Iterable[Client], until: Callable[[], object], seconds: float = 20.0) -> None:
    """Reads for all of them until the condition holds."""
    poll = select.poll()
    known = {client.socket.fileno(): client for client in clients if not client.ended}
    for fileno in known:
        poll.register(fileno, select.POLLIN)

    def read() -> None:
        for fileno, _ in poll.poll(50):
            client = known[fileno]
            client.read()
            if client.ended:
                poll.unregister(fileno)

    wait_for(until, seconds, read)
