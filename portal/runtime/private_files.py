"""Files and folders that hold what is nobody else's business: theirs is the owner alone.

Not by a mask for the whole process: rclone would inherit it, and people's copies with it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

_FILE, _FOLDER = 0o600, 0o700
_OTHERS = 0o077


def make_folder(path: Path) -> None:
    """Makes it, and the folders above that are missing; one that is there stays as it is."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(_FOLDER)
    if not path.is_dir():
        raise FileExistsError(17, "there is something else in its place", str(path))


def make_file(path: Path) -> None:
    """Makes an empty one unless it is there. Raises OSError where it could not be written."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE))
    close_to_others(path)


def close_to_others(path: Path) -> None:
    """Takes away what others may do with it, where it is there and ours."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if found.st_uid == os.geteuid() and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def refuse_unwritable(folder: Path) -> None:
    """Raises OSError where no file can be made in it. Permissions alone would not tell: the file
    system may be read-only."""
    with tempfile.NamedTemporaryFile(prefix=".portal-", dir=folder):
        pass
