"""Files and folders with private content: only the owner may read them.

The process does not set a umask for this: rclone would inherit it and apply it to people's copies.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

_FILE, _FOLDER = 0o600, 0o700
_OTHERS = 0o077
_KINDS = {
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def make_folder(path: Path) -> None:
    """Creates the folder and missing folders above it; one that exists stays as it is."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(_FOLDER)
    if not path.is_dir():
        raise FileExistsError(17, "there is something else in its place", str(path))


def make_file(path: Path) -> None:
    """Creates an empty file unless one exists. Raises OSError if it could not be written."""
    refuse_what_is_no_file(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE))
    close_to_others(path)


def refuse_what_is_no_file(path: Path) -> None:
    """Raises OSError for a device, a pipe or a socket, before anybody opens it: opening a pipe
    waits for ever, and a device's permissions are not ours to change."""
    with contextlib.suppress(FileNotFoundError):
        kind = path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # the system reports a folder itself
            raise OSError(errno.EINVAL, f"It is {_KINDS[stat.S_IFMT(kind)]}, not a file", str(path))


def close_to_others(path: Path) -> None:
    """Takes away the permissions of others, if it is a file and ours."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return
        if found.st_uid == os.geteuid() and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def refuse_unwritable(folder: Path) -> None:
    """Raises OSError if no file can be created in the folder. Permissions alone would not show it:
    the file system may be read-only."""
    with tempfile.NamedTemporaryFile(prefix=".portal-", dir=folder):
        pass
