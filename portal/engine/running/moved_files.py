"""Removes the files of a local source that a move has copied, and no others.

rclone deletes by path: it would delete what somebody has saved there while the old version
travelled. Where no hash shows that another version arrived, rclone is only told to copy. Before it
begins each file is noted, and one is removed only if it is still the very same.

All folders are opened from the top down without following links, and the top before rclone begins:
nothing that is mounted or linked over the source leads the removal elsewhere.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from hashlib import blake2b
from pathlib import Path

from portal.engine.answers.single_file import listed
from portal.engine.safety import places
from portal.engine.safety.local_ends import LASTING_NUMBERS

_YIELD_EVERY = 500
_PARTS = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMED = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
#: Names with these characters are others in rclone's log.
_ODD = re.compile("[\x01-\x1f\x7f\u2400-\u2421\u201b\ufffd\udc80-\udcff]")
_NO_UTF8 = re.compile("[\udc80-\udcff]")


class Fate(Enum):
    """What has become of a file that was to be removed. ``CHANGED``: what lies there now is not
    what was noted. ``GONE``: no file lies there any more."""

    REMOVED = auto()
    CHANGED = auto()
    GONE = auto()


class MovedFiles:
    """Always close it. All calls come from one thread. ``source``: a folder, or one file."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._folder_path = source
        self._top: int | None = None
        self._key = os.urandom(16)
        #: What was noted, in eight bytes a file.
        self._noted = [array("Q") for _ in range(_PARTS)]
        #: The paths of files that are called so in rclone's log, and of how many it has not said
        #: yet that they are copied; only where the name is another one there.
        self._odd: dict[str, list[str]] = {}
        self._awaited: dict[str, int] = {}
        self._lasting: dict[int, bool] = {}
        #: Of files with several names, one of which was removed: the times of their change then,
        #: and when they were noted.
        self._links: dict[tuple[int, int], tuple[int, int]] = {}

    def note(self) -> Iterator[None]:
        """Notes all files as they are now, in small steps."""
        table = places.mounts()
        with suppress(OSError):  # rclone will say why
            about = self._source.lstat()
            one = stat.S_ISREG(about.st_mode)
            self._folder_path = Path(os.path.realpath(self._source.parent if one else self._source))
            self._top = _opened(self._folder_path)
            if one:
                self._add(self._source.name, _in_log(self._source.name), about, table)
            else:
                yield from self._note_below(table)
        for number, part in enumerate(self._noted):
            # By parts: a list of numbers takes five times as much room as an array.
            self._noted[number] = array("Q", sorted(part))
            time.sleep(0)
            yield None

    def close(self) -> None:
        """Nothing is removed any more."""
        if self._top is not None:
            os.close(self._top)
            self._top = None

    def remove(self, name: str) -> list[Fate]:
        """Removes the file of this name in rclone's log unless it has changed. Several files may
        have one name there: they are removed when all are copied. Raises OSError if that is
        refused."""
        paths = self._odd.get(name)
        if paths is None:
            return [self._remove(name)]
        self._awaited[name] -= 1
        if self._awaited[name] > 0:
            return []
        return [self._remove(path) for path in paths]

    # --- noting ---------------------------------------------------------------------------------

    def _note_below(self, table: list[places.Mount]) -> Iterator[None]:
        steps = 0
        folders = [("", "")]
        while folders:
            inner, inner_listed = folders.pop()
            with suppress(OSError), os.scandir(self._folder_path / inner) as entries:
                for entry in entries:
                    steps += 1
                    if steps % _YIELD_EVERY == 0:
                        time.sleep(0)  # the others of this process have their turn
                        yield None
                    odd = _ODD.search(entry.name) is not None
                    path = f"{inner}{entry.name}"
                    shown = f"{inner_listed}{_in_log(entry.name) if odd else entry.name}"
                    with suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            folders.append((f"{path}/", f"{shown}/"))
                        elif entry.is_file(follow_symlinks=False):
                            self._add(path, shown, entry.stat(follow_symlinks=False), table)

    def _add(self, path: str, shown: str, found: os.stat_result, table: list[places.Mount]) -> None:
        if found.st_dev not in self._lasting:
            kind = places.mount_of(str((self._folder_path / path).parent), table).kind
            self._lasting[found.st_dev] = kind in LASTING_NUMBERS
        digest = self._digest(path, found, found.st_ctime_ns)
        self._noted[digest % _PARTS].append(digest)
        if _ODD.search(shown):
            self._odd.setdefault(shown, []).append(path)
            self._awaited[shown] = len(self._odd[shown])

    def _digest(self, path: str, found: os.stat_result, changed: int) -> int:
        # Other file systems may give a file another number at any time.
        number = found.st_ino if self._lasting.get(found.st_dev) else 0
        text = f"{found.st_dev} {number} {found.st_size} {found.st_mtime_ns} {changed} {path}"
        content = text.encode("utf-8", "surrogateescape")
        return int.from_bytes(blake2b(content, digest_size=8, key=self._key).digest())

    # --- removing -------------------------------------------------------------------------------

    def _remove(self, path: str) -> Fate:
        if self._top is None:
            return Fate.CHANGED  # nobody has looked
        *folders, name = path.split("/")
        try:
            with self._folder(folders) as folder, _handle(name, folder) as file:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode):
                    return Fate.GONE
                if not self._is_noted(path, found):
                    return Fate.CHANGED
                os.unlink(name, dir_fd=folder)
                if found.st_nlink > 1:
                    self._forgive(found, os.fstat(file))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return Fate.GONE
            raise
        return Fate.REMOVED

    def _is_noted(self, path: str, found: os.stat_result) -> bool:
        changed, noted = self._links.get((found.st_dev, found.st_ino), (-1, 0))
        ctime = noted if changed == found.st_ctime_ns else found.st_ctime_ns
        digest = self._digest(path, found, ctime)
        part = self._noted[digest % _PARTS]
        place = bisect_left(part, digest)
        return place < len(part) and part[place] == digest

    def _forgive(self, before: os.stat_result, after: os.stat_result) -> None:
        """The removal of one name counts as a change of the file, which has others."""
        key = (before.st_dev, before.st_ino)
        _, noted = self._links.get(key, (0, before.st_ctime_ns))
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            self._links[key] = (after.st_ctime_ns, noted)

    @contextmanager
    def _folder(self, names: list[str]) -> Iterator[int]:
        if self._top is None:
            raise FileNotFoundError(errno.ENOENT, "the source was not opened")
        folder = os.dup(self._top)
        try:
            for name in names:
                inner = os.open(name, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


@contextmanager
def _handle(name: str, folder: int) -> Iterator[int]:
    file = os.open(name, _NAMED, dir_fd=folder)
    try:
        yield file
    finally:
        os.close(file)


def _opened(path: Path) -> int:
    """Raises OSError if a link is on the way to it."""
    folder = os.open(path, _FOLDER)
    if Path(f"/proc/self/fd/{folder}").readlink() != path:
        os.close(folder)
        raise NotADirectoryError(errno.ENOTDIR, "leads elsewhere", str(path))
    return folder


def _in_log(name: str) -> str:
    """As rclone lists it, and then writes what is no UTF-8."""
    return _NO_UTF8.sub("\ufffd", listed(name))
