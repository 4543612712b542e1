"""Notices that a local end of a transfer is no longer the folder that was examined.

A disk may be mounted over it or go away, or another folder may take its name, while rclone runs or
stands still. rclone works by paths, and would go on in the other folder: a move whose destination
then shows its source would delete the only copies.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from portal.engine.order.command import TransferOrder
from portal.engine.output.statistics import printable
from portal.engine.safety import places
from portal.engine.safety.places import Mount

#: File systems on which a folder keeps its inode number as long as it exists. Others, such as FUSE,
#: may give it another one at any time.
LASTING_NUMBERS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs"})
_SNAPSHOTS = "/.zfs/snapshot/"
_SHOWN = 200
_CHANGED = (
    "The {} ({}) is not the same folder that was examined: it is gone, a disk was mounted or "
    "unmounted there, or another folder has taken its name. The transfer was stopped. Put back "
    "what was there, compare both ends, then retry."
)


@dataclass(frozen=True, slots=True)
class _Folder:
    """``key``: the disk and the path on it. ``below``: what is mounted inside."""

    path: str
    key: str
    inode: int | None
    below: frozenset[tuple[str, str]]


class LocalEnds:
    """Both ends of one order; those on remotes are left out."""

    def __init__(self, order: TransferOrder) -> None:
        #: Mounts inside an end matter only to what deletes: a backup of a whole machine may run
        #: while others come and go.
        self._looks_inside = order.operation in ("move", "sync")
        ends = {"source": order.local_source, "destination": order.local_destination}
        self._ends = {role: path for role, path in ends.items() if path is not None}
        self._noted: dict[str, _Folder] | None = None

    def note(self) -> None:
        """Takes the ends as they are now for right. A destination that does not exist yet is noted
        when it is first seen."""
        self._noted = {}
        self.changed()

    def forget(self) -> None:
        """Nothing is compared any more until the next note."""
        self._noted = None

    def changed(self) -> str | None:
        """A sentence about an end that is not what was noted; None if all is well."""
        if self._noted is None or not self._ends:
            return None
        for path in self._ends.values():
            with suppress(OSError):
                path.stat()  # mounts on demand come now, and stand in the table
        table = places.mounts()
        for role, path in self._ends.items():
            noted = self._noted.get(role)
            folder = str(path if path.is_dir() else path.parent) if noted is None else noted.path
            now = self._look(folder, table)
            if noted is not None and now != noted:
                return _CHANGED.format(role, printable(folder, _SHOWN))
            if now is not None and (path.is_dir() or path.is_file()):
                self._noted[role] = now
        return None

    def _look(self, path: str, table: list[Mount]) -> _Folder | None:
        real = os.path.realpath(path)
        try:
            found = Path(real).stat()
        except OSError:
            return None
        holder = places.mount_of(real, table)
        inode = found.st_ino if holder.kind in LASTING_NUMBERS else None
        below = _inside(real, table) if self._looks_inside else frozenset()
        return _Folder(path, holder.key(real), inode, below)


def _inside(real: str, table: list[Mount]) -> frozenset[tuple[str, str]]:
    """Returns what is mounted inside the folder, except mounts on demand and snapshots of ZFS,
    which come when somebody looks into them."""
    inside = real.rstrip("/") + "/"
    found = [one for one in table if one.point.startswith(inside)]
    on_demand = [one.point for one in found if one.kind == "autofs"]
    return frozenset(
        (one.point, one.key(one.point))
        for one in found
        if _SNAPSHOTS not in one.point
        and not any(one.point == point or one.point.startswith(f"{point}/") for point in on_demand)
    )
