"""The folder that a transfer writes to is made by the portal: rclone can only be confined to what
exists. It is made below the very folder that was looked at, whatever is mounted or linked
meanwhile."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_folder(path: Path, like: Path | None) -> list[Path]:
    """All that had to be made, the outermost first. The last of them is open to no more people than
    ``like``. Where something is in the way, rclone will come upon it too, and say what."""
    missing: list[Path] = []
    holder = path
    while not os.path.lexists(holder):
        missing.append(holder)
        holder = holder.parent
    made: list[Path] = []
    with contextlib.suppress(OSError):
        handle = os.open(holder, _FOLDER)
        try:
            if Path(f"/proc/self/fd/{handle}").readlink() != holder:
                return []
            for folder in reversed(missing):
                os.mkdir(folder.name, _mode(like) if folder is path else 0o777, dir_fd=handle)
                made.append(folder)
                inner = os.open(folder.name, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
        finally:
            os.close(handle)
    return made


def remove_empty(made: list[Path]) -> None:
    """Removes the folders that were made for a transfer that failed."""
    with contextlib.suppress(OSError):  # there is something in it
        for folder in reversed(made):
            folder.rmdir()


def _mode(like: Path | None) -> int:
    with contextlib.suppress(OSError):
        if like is not None:
            return stat.S_IMODE(like.stat().st_mode) & 0o777 | 0o700
    return 0o777
