"""Remembers which disks were mounted at or below the roots.

Without that, the empty folder of a mount whose disk is away would be taken for the disk: files that
are written there land on the system disk and look like a copy. The memory is a file, because the
disk may be away when the portal starts again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from portal.engine.errors import EngineError
from portal.engine.safety import places
from portal.engine.safety.places import Mount

FILE = "mounts.json"
_BY_UUID = Path("/dev/disk/by-uuid")
#: Their ``f_fsid`` is made of what is on the disk. That of other file systems is a device number,
#: which changes when the disk comes back.
_LASTING = frozenset({"ext2", "ext3", "ext4", "btrfs", "zfs", "f2fs"})
_MAX_MOUNTS = 1_000

#: The signs of a disk: one dict for each disk that was accepted at a mount point.
Known = dict[str, list[dict[str, str]]]


class Damaged(EngineError):
    """The file cannot be read: nobody would notice that a disk is away."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(
            f"Which disks belong to the folders is not known any more: {file} {why}. Put it back "
            "from a backup; or mount every disk, remove that file, and start the portal again."
        )


class KnownMounts:
    """The mounts of this machine. Every answer compares the file with what is mounted now. Changes
    and notes raise Damaged if the file cannot be read; until then, no folder counts as right."""

    def __init__(self, data_dir: Path, roots: Sequence[Path]) -> None:
        self._file = data_dir / FILE
        self._roots = [os.path.realpath(root) for root in roots]

    def note(self) -> None:
        """Remembers what is mounted at, above or below a root and was not known. Raises OSError if
        that cannot be written down."""
        known = self._read()
        new = [mount for mount in self._present().values() if mount.point not in known]
        if new:
            with self._changing() as stored:
                for mount in new[:_MAX_MOUNTS]:
                    stored.setdefault(mount.point, [_identity(mount)])

    def accept(self, point: str) -> bool | None:
        """From now on what is mounted there, or that nothing is, is right; whether that is news.
        None where no disk is nor was."""
        mount = self._present().get(point)
        with self._changing() as stored:
            if mount is None:
                return True if stored.pop(point, None) is not None else None
            known = stored.setdefault(point, [])
            if any(_same(_identity(mount), one) for one in known):
                return False
            known.append(_identity(mount))
            return True

    def problem(self, path: str) -> str | None:
        """A sentence why the folder at this path is not the one that it was; None if all is
        well."""
        try:
            known = self._read()
        except Damaged as damaged:
            return damaged.reason
        real = os.path.realpath(path)
        for point in known:
            if _inside(point, real):
                # Mounts on demand use this type.
                with contextlib.suppress(OSError):
                    Path(point).stat()
        present = self._present()
        return self._problem(real, known, present) or _problem_below(real, known, present)

    def problems(self) -> list[str]:
        """Returns such a sentence for every root that is not there."""
        try:
            known, present = self._read(), self._present()
        except Damaged as damaged:
            return [damaged.reason]
        found = []
        for root in self._roots:
            if problem := self._problem(root, known, present):
                found.append(problem)
            elif not Path(root).is_dir():
                found.append(_is_not_there(root))
        return found

    def _problem(self, real: str, known: Known, present: dict[str, Mount]) -> str | None:
        for point, disks in sorted(known.items()):
            if not _inside(real, point):
                continue
            mount = present.get(point)
            if mount is None:
                return (
                    f"The folder {point} is not there: the disk that was mounted at it is away. "
                    "Mount it again, then retry. If it is meant to be an ordinary folder now, an "
                    f"administrator runs: portal accept-mount {point}"
                )
            if not any(_same(_identity(mount), one) for one in disks):
                return (
                    f"Another disk is mounted at {point} than before. Mount the right one, then "
                    "retry. If this one is right too, an administrator runs: "
                    f"portal accept-mount {point}"
                )
        root = next((root for root in self._roots if _inside(real, root)), None)
        if root is not None and not Path(root).is_dir():
            return _is_not_there(root)
        return None

    def _present(self) -> dict[str, Mount]:
        """Returns the mounts that concern a root, by mount point. If several share a point, the
        last one covers the others."""
        for root in self._roots:
            # Mounts on demand use this type.
            with contextlib.suppress(OSError):
                Path(root).stat()
        return {
            mount.point: mount
            for mount in places.mounts()
            if mount.point != "/" and self._concerns(mount.point)
        }

    def _concerns(self, point: str) -> bool:
        return any(_inside(point, root) or _inside(root, point) for root in self._roots)

    def _read(self) -> Known:
        try:
            content: Any = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if not self._file.is_symlink():
                return {}  # the first start
            raise Damaged(self._file, "is a link that leads nowhere") from None
        except OSError as error:
            raise Damaged(self._file, f"cannot be read ({error.strerror})") from None
        except ValueError:
            raise Damaged(self._file, "is damaged") from None
        if not _is_known(content):
            raise Damaged(self._file, "is damaged")
        return dict(content)

    @contextmanager
    def _changing(self) -> Iterator[Known]:
        """Yields the known mounts for a change, under a lock; then writes the whole file."""
        lock = os.open(f"{self._file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._read()
            yield known
            handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=FILE)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._file)
        finally:
            os.close(lock)


def _problem_below(real: str, known: Known, present: dict[str, Mount]) -> str | None:
    """Without such a disk a sync would take its files for deleted, or write beside them."""
    for point in sorted(known):
        if _inside(point, real) and point not in present:
            return (
                f"A disk inside this folder is away: it was mounted at {point}. Mount it again, "
                "then retry. If it is meant to be an ordinary folder now, an administrator runs: "
                f"portal accept-mount {point}"
            )
    return None


def _is_known(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(disks, list) and all(isinstance(one, dict) for one in disks)
        for disks in content.values()
    )


def _is_not_there(root: str) -> str:
    return f"The folder {root} is not there. Make it or mount it again, then retry."


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _identity(mount: Mount) -> dict[str, str]:
    content = {"kind": mount.kind, "source": mount.source, "root": mount.root}
    if uuid := _uuid(mount.source):
        content["uuid"] = uuid
    if mount.kind in _LASTING:
        with contextlib.suppress(OSError):
            content["fsid"] = f"{os.statvfs(mount.point).f_fsid:x}"
    return content


def _same(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether both are the same part of the same file system, whatever its device is called now."""
    if one.get("root") != other.get("root") or one.get("kind") != other.get("kind"):
        return False
    for name in ("uuid", "fsid"):
        if name in one and name in other:
            return one[name] == other[name]
    return one.get("source") == other.get("source")


def _uuid(source: str) -> str | None:
    if not source.startswith("/dev/"):
        return None
    device = os.path.realpath(source)
    with contextlib.suppress(OSError):
        for link in _BY_UUID.iterdir():
            if os.path.realpath(link) == device:
                return link.name
    return None
