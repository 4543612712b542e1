"""One portal a data folder: two would each think the other's jobs dead."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from portal.errors import PortalError


class Locked(PortalError):
    """Another process holds the lock."""


def acquire(path: Path) -> int:
    """The descriptor that holds the lock until this process ends, however it ends."""
    # Not inheritable: a child that outlived us would hold on to it.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 64).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise Locked(
            f"Another portal (process {holder}) runs on {path.parent}. Stop it first, or give this "
            "one its own PORTAL_DATA_DIR."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor
