"""Speaks with a running rclone through its remote control, a socket in its private folder."""

from __future__ import annotations

import json
import socket
from pathlib import Path

_TIMEOUT = 2.0
_LONGEST_ANSWER = 4096


def set_rate(path: Path, rate: str) -> bool:
    """Sends the limit, bytes a second as ``--bwlimit`` writes them, or ``off``. False if rclone has
    not taken it: it is starting, paused or at its end."""
    return b" 200 " in _ask(path, "core/bwlimit", {"rate": rate}).partition(b"\r\n")[0]


def _ask(path: Path, call: str, body: dict[str, str]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST /{call} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(str(path))
            connection.sendall(head.encode() + content)
            return connection.recv(_LONGEST_ANSWER)
    except OSError:
        return b""
