"""Speaks with a running rclone through its remote control, a socket in its private folder."""

from __future__ import annotations

import json
import socket
from pathlib import Path

_LONGEST_ANSWER = 4096


class RateRequest:
    """Asks rclone for another limit: bytes a second as ``--bwlimit`` writes them, or ``off``.

    rclone answers when what waits under the old limit has gone, which may take a while: nobody
    waits for it here. A process that stands still answers when it goes on.
    """

    def __init__(self, path: Path, rate: str) -> None:
        self.rate = rate
        self._answer: bool | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.setblocking(False)
        try:
            self._connection.connect(str(path))
            self._connection.sendall(_request("core/bwlimit", {"rate": rate}))
        except OSError:  # it is starting, or at its end
            self._end(False)

    def answer(self) -> bool | None:
        """Whether rclone has taken it; None while it has not answered."""
        if self._answer is None:
            try:
                found = self._connection.recv(_LONGEST_ANSWER)
            except BlockingIOError:
                return None
            except OSError:
                found = b""
            self._end(b" 200 " in found.partition(b"\r\n")[0])
        return self._answer

    def close(self) -> None:
        self._connection.close()

    def _end(self, answer: bool) -> None:
        self._answer = answer
        self._connection.close()


def _request(call: str, body: dict[str, str]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST /{call} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
