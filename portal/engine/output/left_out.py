"""Entries that rclone skips because they are no files, counted by name: each counts once, however
many rclones meet it."""

from __future__ import annotations

import os
import re
import stat
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from portal.engine.markers import is_marker
from portal.transfers.names import visible

#: rclone's own words, which it says once of each such entry of a listing.
_LINK = "Can't follow symlink"
_SPECIAL = "Can't transfer non file/directory"
#: A name that the storage cannot hold. The second is what FAT and its like say of a colon.
_NAME = re.compile(r"file name too long|\b(?:open|mkdir) .*: invalid argument", re.IGNORECASE)
#: rclone's message about a file that it could neither finish nor remove.
_REMAINS = "Failed to remove failed"
#: rclone's messages about a file that is whole at the destination.
_WHOLE = re.compile(r"(?:Multi-thread )?Copied \(|Moved \(|Deleted$")
#: rclone's debug message when it has no hash to compare.
_BY_SIZE = "Size of src and dst objects identical"
_FIRST = 10
_MAX_REMAINING = 100
#: More than can be in work at once.
_LAST_WHOLE = 200
_NAME_LENGTH = 500


def says_by_size(entry: dict[str, Any]) -> bool:
    """Whether a line says that a file was taken for equal by its size alone."""
    return entry.get("msg") == _BY_SIZE and not is_marker(str(entry.get("object")))


class LeftOut:
    """``source`` and ``destination``: the folders of the local sides. rclone reads both sides and
    does not say in which of them an entry is; an entry that only the destination has was not left
    out."""

    def __init__(self, source: Path | None, destination: Path | None) -> None:
        self._source = source
        self._destination = destination
        self._links = _Distinct()
        self._specials = _Distinct()
        self._names = _Distinct()
        self._first_names: list[str] = []
        #: Names of files that are not whole and may lie at the destination.
        self._remaining: list[str] = []
        #: Names of those that this rclone said last to be whole.
        self._last_whole: deque[str] = deque(maxlen=_LAST_WHOLE)
        self._partials = _Distinct()
        self._first_partials: list[str] = []
        self._by_size = _Distinct()
        self._first_by_size: list[str] = []
        #: Empty folders of the source, at a destination that cannot hold any.
        self.empty_folders = 0

    def note(self, name: str, message: str) -> None:
        """Any line of the log about the entry ``name``."""
        if _WHOLE.match(message):
            self._last_whole.append(name)
            if name in self._remaining:
                self._remaining.remove(name)
        if message.startswith(_LINK):
            if self._is_of_source(name, stat.S_ISLNK):
                self._links.add(name)
        elif message.startswith(_SPECIAL):
            if self._is_of_source(name, _is_special):
                self._specials.add(name)
        elif message.startswith(_REMAINS):
            self.may_remain([name])
        elif _NAME.search(message) and self._names.add(name) and len(self._first_names) < _FIRST:
            self._first_names.append(name[:_NAME_LENGTH])

    def note_partial(self, name: str) -> None:
        """A file of the source that is named like one that is not whole."""
        if self._partials.add(name) and len(self._first_partials) < _FIRST:
            self._first_partials.append(_shown(name))

    def note_by_size(self, name: str) -> None:
        """A file that was taken for equal by its size alone."""
        if self._by_size.add(name) and len(self._first_by_size) < _FIRST:
            self._first_by_size.append(name[:_NAME_LENGTH])

    @property
    def remaining(self) -> bool:
        """Whether files that are not whole may lie at the destination."""
        return bool(self._remaining)

    def may_remain(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._remaining and len(self._remaining) < _MAX_REMAINING:
                self._remaining.append(name[:_NAME_LENGTH])

    def were_in_work(self, names: Iterable[str]) -> None:
        """Files that rclone, which has ended, said in its last statistics to be in work."""
        self.may_remain(name for name in names if name not in self._last_whole)
        self._last_whole.clear()

    def forget_remaining(self) -> None:
        """They were removed."""
        self._remaining.clear()

    def forget_by_size(self) -> None:
        """They are compared once more."""
        self._by_size, self._first_by_size = _Distinct(), []

    def found(self) -> dict[str, Any]:
        """Fields of ``engine.Found``."""
        names: dict[str, Any] = {}
        if self._names.count:
            names |= {"names": self._names.count, "first_names": self._first_names}
        if self._partials.count:
            names |= {"partials": self._partials.count, "first_partials": self._first_partials}
        if self._by_size.count:
            names |= {"by_size": self._by_size.count, "first_by_size": self._first_by_size}
        if self._remaining:
            names["may_remain"] = self._remaining
        if self.empty_folders:
            names["empty_folders"] = self.empty_folders
        return {
            "links_left_out": self._links.count,
            "specials_left_out": self._specials.count,
            "left_out_names": names or None,
        }

    def _is_of_source(self, name: str, kind: Callable[[int], bool]) -> bool:
        if self._source is not None and (mode := _mode(self._source, name)) is not None:
            return kind(mode)
        if self._destination is None:
            return True
        mode = _mode(self._destination, name)
        return mode is None or not kind(mode)


class _Distinct:
    """Counts different names in eight bytes for each."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._packed = array("q")

    def add(self, name: str) -> bool:
        """Whether it is new, as far as is known at once."""
        number = hash(name)
        if number in self._seen:
            return False
        self._seen.add(number)
        if len(self._seen) >= 10_000:
            # A set takes ten times the room of an array.
            self._packed.extend(self._seen)
            self._seen.clear()
        return True

    @property
    def count(self) -> int:
        return len(self._seen.union(self._packed))


def _shown(name: str) -> str:
    return visible(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))[
        :_NAME_LENGTH
    ]


def _mode(folder: Path, name: str) -> int | None:
    try:
        return os.lstat(folder / name).st_mode
    except (OSError, ValueError):
        return None


def _is_special(mode: int) -> bool:
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
