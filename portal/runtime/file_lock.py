"""Lets only one portal use a data folder: two would each think the other's jobs dead."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from portal.errors import PortalError, SettingsError
from portal.runtime import private_files


class Locked(PortalError):
    """Another process holds the lock."""


def acquire(path: Path) -> int:
    """Returns a descriptor that holds the lock until this process ends, however it ends."""
    try:
        private_files.refuse_what_is_no_file(path)
        # Not inheritable: a child that outlives us would keep the lock.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(
            f"PORTAL_DATA_DIR: the lock file {path} cannot be opened: {error.strerror}"
        ) from None
    with suppress(OSError):  # the file belongs to somebody else
        os.fchmod(descriptor, 0o600)
    if not take(descriptor):
        holder = os.read(descriptor, 64).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise Locked(
            f"Another portal (process {holder}) runs on {path.parent}. Stop it first, or give this "
            "one its own PORTAL_DATA_DIR."
        )
    with suppress(OSError):  # a full disk: the number is for people, the lock is the kernel's
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def take(descriptor: int) -> bool:
    """Tries to lock the file of this descriptor. Returns whether it did."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
