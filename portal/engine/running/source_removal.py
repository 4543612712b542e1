"""Removes each file of a move from the source when rclone has copied it or found it at the
destination, while nothing speaks against it, and counts what had to stay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from portal.engine.output.statistics import FileAction, RcloneStatistics
from portal.engine.output.stderr import ProvenFile, StderrReader
from portal.engine.running.moved_files import Fate, MovedFiles
from portal.transfers.counted import counted

_AT_ONCE = 200
_NAMED = 3
_REMEMBERED = 1_000
_CHANGED = "Changed while it was moved, so it was not removed from the source"
_GONE = "Renamed, deleted or replaced at the source while it was moved"
#: As rclone says it.
_TOO_MANY = "Couldn't delete: --max-delete threshold reached"


@dataclass(slots=True)
class SourceRemoval:
    """``most``: so many files at most. ``earlier``: those that an earlier try has copied, and their
    sizes. All calls come from the thread that follows the transfer: whoever does has found its
    lease valid just before."""

    files: MovedFiles
    reader: StderrReader
    most: float = math.inf
    earlier: Mapping[str, int] = field(default_factory=dict)
    #: Nothing is removed for now.
    paused: bool = False
    #: Nothing is removed any more.
    ended: bool = False
    removed: int = 0
    #: Those of them that rclone found at the destination; and those with an older version there.
    equal: int = 0
    replaced: int = 0
    changed: int = 0
    #: How many of these rclone had copied, and their bytes.
    changed_copies: tuple[int, int] = (0, 0)
    #: The first of these, and their sizes.
    stayed: dict[str, int] = field(default_factory=dict)
    gone: int = 0
    #: Whether the removal of a file was refused.
    refused: bool = False
    first_changed: list[str] = field(default_factory=list)
    first_gone: list[str] = field(default_factory=list)

    @property
    def is_due(self) -> bool:
        """Whether files are still to be removed, now or later."""
        return bool(self.reader.proven) and not self.ended

    def remove_some(self) -> None:
        """Some of those that are at the destination."""
        for _ in range(_AT_ONCE):
            if self.paused or not self.is_due:
                return
            self._remove(self.reader.proven.popleft())

    @property
    def retry_words(self) -> str:
        """Why another try is needed."""
        if self.changed:
            were, they = _were(self.changed)
            return f"{counted(self.changed, 'file')} {were} changed while {they} {were} moved"
        if self.gone:
            were, they = _were(self.gone)
            return (
                f"{counted(self.gone, 'file')} {were} renamed, deleted or replaced at the source "
                f"while {they} {were} moved"
            )
        return "Not every file was removed from the source"

    def problem(self, counted_by_rclone: RcloneStatistics | None) -> str | None:
        """A sentence about files that had to stay, after rclone has ended well."""
        if self.changed:
            they = "It was" if self.changed == 1 else "They were"
            names = _quoted(self.first_changed, self.changed)
            return (
                f"{self.retry_words} ({names}). {they} not removed from the source; what is "
                "at the destination may be an older version, or parts of both. Retry."
            )
        if self.gone:
            them = "it" if self.gone == 1 else "them"
            return (
                f"{self.retry_words} ({_quoted(self.first_gone, self.gone)}). What has arrived of "
                f"{them} stays at the destination. Retry to move what is there now."
            )
        if counted_by_rclone is None or not self._are_all(counted_by_rclone):
            return (
                "Not every file that was copied was removed from the source: rclone did not name "
                "each of them clearly. Retry."
            )
        return None

    def _are_all(self, counted: RcloneStatistics) -> bool:
        """Whether those are removed that rclone has copied, and those that it has compared and
        found equal, by its own count."""
        copied = self.removed - self.equal
        return copied >= counted.transfers and self.equal + self.replaced >= counted.checks

    def _remove(self, file: ProvenFile) -> None:
        self.replaced += file.action is FileAction.REPLACED
        if self.removed >= self.most:
            self.refused = True
            self.reader.note_error(file.shown, _TOO_MANY, file.name)
            return
        try:
            fates = self.files.remove(file.name)
        except OSError as error:
            self.refused = True
            words = (error.strerror or "unknown error").lower()
            self.reader.note_error(file.shown, f"Couldn't delete: {words}", file.name)
            return
        for fate in fates:
            if fate is Fate.REMOVED:
                self.removed += 1
                self.equal += file.action is FileAction.EQUAL
                self.reader.note_removed(file)
            elif fate is Fate.GONE:
                self._note_gone(file)
            else:
                self._note_changed(file)

    def _note_changed(self, file: ProvenFile) -> None:
        self.changed += 1
        self._note_copy(file)
        if len(self.first_changed) < _NAMED:
            self.first_changed.append(file.shown)
        self.reader.note_error(file.shown, _CHANGED, file.name)

    def _note_copy(self, file: ProvenFile) -> None:
        """The next try sends it again, or finds that only its mode, its owner or its number of
        links was changed."""
        size = file.size
        if file.action is FileAction.EQUAL:
            if file.name not in self.earlier:
                return  # it was there before all tries
            size = self.earlier[file.name]
            self.reader.note_equal(file)
        files, total = self.changed_copies
        self.changed_copies = files + 1, total + size
        if len(self.stayed) < _REMEMBERED:
            self.stayed[file.name] = size

    def _note_gone(self, file: ProvenFile) -> None:
        self.gone += 1
        if len(self.first_gone) < _NAMED:
            self.first_gone.append(file.shown)
        self.reader.note_gone(file, _GONE)


def _were(count: int) -> tuple[str, str]:
    return ("was", "it") if count == 1 else ("were", "they")


def _quoted(names: list[str], count: int) -> str:
    return ", ".join(f"“{name}”" for name in names) + (", …" if count > len(names) else "")
