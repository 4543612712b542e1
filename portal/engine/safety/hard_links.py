"""Finds files of a local source that may lie at its destination too, by another name on the disk.

WebDAV servers write into the file that is there, and do not replace it. Where such a server runs on
this machine, its file may be a hard link of one of the source, under any name: yesterday's backup
was made by ``cp -al``, and since then log.1 has become log.2. Whatever is written over the backup's
log.1 then takes the place of the source's log.2.

A file whose names all lie in the source is none of the server's.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from portal.engine.answers.questions import NoAnswer
from portal.engine.order.command import TransferOrder
from portal.engine.output.statistics import printable
from portal.engine.safety import places, refusals
from portal.engine.safety.ends import Ends

#: Files of which further names are still looked for, at one time: some 25 MB of memory.
MAX_FILES = 200_000
_AT_ONCE = 500
_SHOWN = 200

#: One name of a file that has several: the path, the file itself, and how many names it has.
_Name = tuple[str, int, int]


class _TooManyError(Exception):
    """More files than may be remembered."""


def matter(order: TransferOrder) -> bool:
    """Whether a server of this machine could write into files of the source."""
    return order.local_source is not None and order.shows_halves


class HardLinks:
    """Those of one order. All but its start may raise NoAnswer."""

    def __init__(self, order: TransferOrder, ends: Ends) -> None:
        self._order, self._ends = order, ends

    def of_single(self) -> str | None:
        """A refusal, if the file of its name at the destination may be one beside it here."""
        name = Path(self._order.source).name
        if not matter(self._order) or self._ends.at(self._order.destination).find(name) is None:
            return None
        return self.of(name)

    def of(self, replaced: str | None) -> str | None:
        """A refusal, if a file that is ``replaced`` there may be one of the source. A single file
        may have been renamed within its folder, which therefore counts as the source."""
        if replaced is None:
            return None
        real = Path(os.path.realpath(self._order.source))
        is_file = real.is_file()
        folder = str(real.parent if is_file else real)
        try:
            name = _named_elsewhere(folder, self._ends.is_stopped, deep=not is_file)
        except _TooManyError:
            return refusals.MANY_HARD_LINKS.format(MAX_FILES, printable(replaced, _SHOWN))
        if name is None:
            return None
        return refusals.HARD_LINK.format(printable(name, _SHOWN), printable(replaced, _SHOWN))


def _named_elsewhere(folder: str, is_stopped: Callable[[], bool], *, deep: bool) -> str | None:
    """Returns the path of the first file that has a name outside the folder."""
    inside = folder.rstrip("/") + "/"
    points = (
        {one.point for one in places.mounts() if one.point.startswith(inside)} if deep else set()
    )
    # Each mount by itself: a folder that is mounted twice would show one name as two.
    for top in (folder, *sorted(points)):
        names = partial(_names, top, points, is_stopped, deep=deep)
        if missing := _with_missing_names(names()):
            found = next((path for path, file, _ in names() if file in missing), top)
            return os.path.relpath(found, folder)
    return None


def _with_missing_names(names: Iterable[_Name]) -> dict[int, int]:
    """Returns the files of which not all names came, and how many are missing. Raises
    _TooManyError."""
    missing: dict[int, int] = {}
    for _, file, number in names:
        left = missing.get(file, number) - 1
        if left:
            missing[file] = left
        else:
            del missing[file]
        if len(missing) > MAX_FILES:
            raise _TooManyError
    return missing


def _names(
    top: str, points: set[str], is_stopped: Callable[[], bool], *, deep: bool
) -> Iterator[_Name]:
    """Yields the names of all files that have several, but for what is mounted below."""
    folders, seen = [top], 0
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen % _AT_ONCE == 0:
                    if is_stopped():
                        raise NoAnswer("it was stopped")
                    time.sleep(0)  # the others of this process have their turn
                if entry.is_dir(follow_symlinks=False):
                    if deep and entry.path not in points:
                        folders.append(entry.path)
                    continue
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
                        yield entry.path, found.st_dev << 64 | found.st_ino, found.st_nlink
