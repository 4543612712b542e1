"""Host keys of SFTP servers as people compare them: by kind and fingerprint."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostKey:
    """``text``: ``algorithm key``, as rclone wants it."""

    text: str
    kind: str
    fingerprint: str


def read(pinned: str) -> tuple[HostKey, ...]:
    """Reads rclone's option ``host_keys``: keys that are separated by commas."""
    found = []
    for text in filter(None, pinned.split(",")):
        kind, _, key = text.strip().partition(" ")
        try:
            digest = hashlib.sha256(base64.b64decode(key, validate=True)).digest()
        except (ValueError, binascii.Error):
            continue  # rclone will refuse it, and say so
        # As ssh-keygen -l writes it.
        fingerprint = f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
        found.append(HostKey(text.strip(), kind, fingerprint))
    return tuple(found)
