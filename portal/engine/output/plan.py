"""The plan of a dry run: the files that it would copy and delete, in bounded memory however many
there are."""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from portal.engine.markers import is_marker

FIRST = 10
_NAME_LENGTH = 500
_ROOM = 2**256

#: rclone's words for what it left out in a dry run.
_COPIES = ("copy", "move")
_DELETES = {"sync": ("delete",), "move": ("move", "delete")}


class Skipped(NamedTuple):
    """One thing that rclone did not do because it was a dry run. ``size`` in bytes."""

    action: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class NamedFile:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of files and bytes, and the first files by name. ``fingerprint`` identifies all files
    that would be deleted, in any order: their names and sizes, and on this machine their times.
    ``moment``, in seconds since 1970, is the time from which ages of files were counted."""

    copies: int
    copy_bytes: int
    deletes: int
    delete_bytes: int
    first_copies: tuple[NamedFile, ...]
    first_deletes: tuple[NamedFile, ...]
    fingerprint: str
    moment: float
    #: Files that it would leave as they are, since both sides have them.
    unchanged: int = 0
    #: Files at the destination that would be replaced.
    replaces: int = 0


@dataclass(frozen=True, slots=True)
class ConfirmedPlan:
    """The plan that a person has confirmed: so many deletions, and of these files only."""

    deletes: int
    fingerprint: str
    moment: float

    def after(self, deleted: int) -> ConfirmedPlan:
        """Returns the plan for another try, after so many files are gone."""
        return replace(self, deletes=max(0, self.deletes - deleted))


class PlanBuilder:
    """Adds up the lines that a dry run of one operation writes."""

    def __init__(
        self,
        operation: str,
        moment: float,
        shown: Callable[[str], str] = lambda name: name,
        looks_for: str | None = None,
        destination: Path | None = None,
        accounts: Sequence[str] = (),
    ) -> None:
        """``destination``: of a sync to this machine; then the times of the files that it would
        delete are part of the fingerprint, so that one written meanwhile is another. ``shown``
        turns a name into one that a person may see; everything else uses the names as they are.
        ``looks_for``: the number of a marker. ``accounts``: of the remotes; on another server even
        files of the same names are others."""
        self._deleting = _DELETES.get(operation, ())
        self._looks_for = looks_for
        self._moment = moment
        self._shown = shown
        self._destination = destination if operation == "sync" else None
        self._copies = _Totals()
        self._deletes = _Totals()
        self._sum = _number("\n".join(sorted(accounts))) if accounts else 0
        #: How many files rclone said that it did not copy or move, and did not delete.
        self.transfers = 0
        self.removals = 0
        #: Whether the marker was found below the top: then one end contains the other.
        self.marker_below = False

    def add(self, skipped: Skipped) -> None:
        action, name, size = skipped
        is_mark = is_marker(name)
        if is_mark:
            own = self._looks_for is not None and name.endswith(self._looks_for)
            self.marker_below |= own and "/" in name
        if action in _COPIES:
            self.transfers += 1
            if not is_mark:
                self._copies.add(name, size)
        elif action == "delete":
            self.removals += 1
        if action in self._deleting and not is_mark:
            self._deletes.add(name, size)
            # rclone reports files in any order; the order does not change a sum.
            self._sum = (self._sum + _number(f"{name}\0{size}{self._times(name)}")) % _ROOM

    def _times(self, name: str) -> str:
        """Nothing of a name that rclone writes in another way than the disk."""
        if self._destination is None:
            return ""
        try:
            found = (self._destination / name).lstat()
        except (OSError, ValueError):
            return ""
        return f"\0{found.st_mtime_ns}\0{found.st_ctime_ns}"

    def plan(self) -> Plan:
        return Plan(
            copies=self._copies.files,
            copy_bytes=self._copies.bytes,
            deletes=self._deletes.files,
            delete_bytes=self._deletes.bytes,
            first_copies=tuple(self._copies.named(self._shown)),
            first_deletes=tuple(self._deletes.named(self._shown)),
            fingerprint=f"{self._sum:064x}",
            moment=self._moment,
        )


def _number(text: str) -> int:
    content = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=32).digest())


@dataclass(slots=True)
class _Totals:
    files: int = 0
    bytes: int = 0
    _first: list[tuple[str, int]] = field(default_factory=list)

    def add(self, name: str, size: int) -> None:
        self.files += 1
        self.bytes += size
        if len(self._first) < FIRST or name < self._first[-1][0]:
            insort(self._first, (name, size))
            del self._first[FIRST:]

    def named(self, shown: Callable[[str], str]) -> list[NamedFile]:
        return [
            NamedFile(shown(name).encode("utf-8", "backslashreplace").decode()[:_NAME_LENGTH], size)
            for name, size in self._first
        ]
