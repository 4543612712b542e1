"""Turns rclone's figures into figures that a person can believe."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, get_type_hints

from portal.engine.output.report import EQUAL, Report
from portal.engine.output.statistics import CurrentFile, Done, FileAction, RcloneStatistics

_WINDOW = 3.0  # seconds over which the current speed is averaged
_KEPT = 200  # at most so many figures in that window, if rclone's clock stops
ALMOST = 99.9
#: Files of a move that are watched between their copy and their deletion: those in work, and those
#: that cannot be deleted.
_COPIED = 1_000
_FIRST_DELETED = 3


class Phase(StrEnum):
    """The current step of the transfer."""

    SCANNING = "scanning"
    TRANSFERRING = "transferring"
    CHECKING = "checking"
    FINISHING = "finishing"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure is a column of the job with the same name.

    ``kept``: the next attempt goes on from it. ``published``: browsers get it with each event of
    progress. ``added``: it is the sum over all attempts, without more ado.
    """

    kept: bool = True
    published: bool = True
    added: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """The figures of a transfer at one moment. ``docs/extending.md`` shows how to add one.

    `percent` has one decimal, never falls within one transfer, and is 100 only after success.
    `total_bytes` and `percent` are None until the source is listed. `bytes_arrived` is the part of
    `bytes_transferred` in files that are whole at the destination; bytes that had to be sent again
    are in neither. `files_unchanged` are known to be the same on both sides: at least so many while
    it runs, and after a failure.
    """

    phase: Annotated[Phase, Figure(kept=False)]
    bytes_transferred: Annotated[int, Figure()]
    total_bytes: Annotated[int | None, Figure()]
    percent: Annotated[float | None, Figure()]
    speed_bytes: Annotated[int, Figure(kept=False)]
    eta_seconds: Annotated[int | None, Figure(kept=False)]
    files_transferred: Annotated[int, Figure()]
    files_total: Annotated[int, Figure()]
    files_listed: Annotated[int, Figure(published=False)]
    #: Used by the engine alone; no figure.
    errors: int
    current_files: Annotated[tuple[CurrentFile, ...], Figure(kept=False, published=False)]
    bytes_arrived: Annotated[int, Figure(published=False)] = 0
    files_unchanged: Annotated[int, Figure()] = 0
    files_deleted: Annotated[int, Figure(added=True)] = 0
    #: Files that an earlier try has copied and this one found equal, and their bytes; no figure.
    found_again: tuple[int, int] = (0, 0)


FIGURES: dict[str, Figure] = {
    name: figure
    for name, hint in get_type_hints(Progress, include_extras=True).items()
    for figure in getattr(hint, "__metadata__", ())
}


class ProgressParser:
    """Turns the statistics and log lines of one rclone into figures.

    rclone's own sum of bytes contains what it had to send again, and its totals lose each file that
    has failed. Therefore the files that have arrived are added up here, and the highest totals are
    kept.
    """

    def __init__(
        self,
        operation: str,
        dry_run: bool,
        report: Report | None = None,
        stayed: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """``stayed``: as of a ``TransferOrder``."""
        self._check = operation == "check"
        self._sync = operation == "sync"
        self._dry_run = dry_run
        self._report = report
        self._counts = _ActionCounts(operation, stayed)
        self._transferring = False
        self._total = 0
        self._files_total = 0
        self._done = 0
        self._percent: float | None = None
        self._last: RcloneStatistics | None = None
        self._reading: Progress | None = None
        self._speeds: deque[tuple[float, int]] = deque(maxlen=_KEPT)

    @property
    def errors(self) -> int:
        """Errors as rclone counts them; it counts each difference that it finds as one."""
        return self._last.errors if self._last else 0

    @property
    def first_deleted(self) -> tuple[str, ...]:
        return tuple(self._counts.first_deleted)

    @property
    def copied_only(self) -> tuple[int, int]:
        """Files of a move, and their bytes, that have arrived and still lie at the source."""
        return self._counts.copied_only

    def note(self, done: Done) -> None:
        """Notes what rclone has done to one file."""
        self._counts.add(done)

    def read(self, stats: RcloneStatistics) -> Progress:
        """The figures after the next line of statistics."""
        before, self._last = self._last, stats
        self._transferring |= bool(stats.bytes or stats.transfers or stats.transferring)
        self._transferring |= self._counts.arrived > 0 or self._counts.failed > 0
        phase = self._phase(stats)
        if self._check:
            files_done, files_total = stats.checks, max(stats.total_checks, stats.listed // 2)
            settled = before is not None and before.listed == stats.listed
            if settled and phase is Phase.CHECKING:
                self._advance(files_done, files_total)
            # A check moves no bytes; its percent counts files.
            total = None if self._percent is None else 0
        else:
            # When rclone is stopped, a file may arrive after the last statistics.
            files_done = max(stats.transfers, self._counts.arrived)
            failed = self._counts.failed
            self._files_total = max(self._files_total, stats.total_transfers, files_done + failed)
            files_total = self._files_total
            total = self._bytes_total(stats)
            if total is not None:
                self._advance(self._done if total else files_done, total or files_total)
        speed = self._speed(stats)
        self._reading = Progress(
            phase=phase,
            bytes_transferred=0 if self._dry_run or self._check else self._done,
            total_bytes=total,
            percent=self._percent,
            speed_bytes=speed,
            eta_seconds=_eta(total, self._done, speed),
            files_transferred=0 if self._dry_run and not self._check else files_done,
            files_total=files_total,
            files_listed=stats.listed,
            errors=stats.errors,
            current_files=stats.transferring or stats.checking,
            bytes_arrived=0 if self._dry_run else min(self._done, self._arrived(stats)),
            files_unchanged=self._unchanged(stats),
            files_deleted=self._counts.deleted if self._sync and not self._dry_run else 0,
            found_again=self._counts.found_again,
        )
        return self._reading

    def finish(self, succeeded: bool) -> Progress | None:
        """The final figures: the last reading, with the average speed; complete if it succeeded.
        None of one that failed before it did or knew anything."""
        stats = self._last or RcloneStatistics()
        if not succeeded:
            return self._failed(stats)
        # Read once more: report and log may have told more since the last statistics.
        reading = self.read(stats)
        # A file that had vanished when its turn came is not among those that arrived.
        is_exact = self._counts.arrived or self._check
        done = reading.bytes_transferred
        return replace(
            reading,
            phase=Phase.FINISHING,
            total_bytes=done if is_exact else max(done, self._total, stats.total_bytes),
            percent=100.0,
            speed_bytes=self._average(stats),
            eta_seconds=0,
            files_total=stats.total_checks
            if self._check
            else max(stats.total_transfers, reading.files_transferred),
            files_unchanged=max(reading.files_unchanged, self._single_file(stats)),
            current_files=(),
        )

    def _failed(self, stats: RcloneStatistics) -> Progress | None:
        if self._reading is None and not (self._counts.arrived or self._counts.deleted):
            return None
        knew_the_total = self._reading is not None and self._reading.total_bytes is not None
        # When rclone is stopped, it logs files whose bytes are in no later statistics.
        reading = self.read(replace(stats, bytes=max(stats.bytes, self._counts.bytes)))
        if not knew_the_total:
            # That much has arrived; the total is unknown.
            reading = self._reading = replace(reading, total_bytes=None, percent=None)
        return replace(
            reading, speed_bytes=self._average(stats), eta_seconds=None, current_files=()
        )

    def _single_file(self, stats: RcloneStatistics) -> int:
        """1 if the source is one file that is at the destination already: rclone compares it and
        logs nothing."""
        folder = self._report is not None or self._check or self._counts.compared
        return 0 if folder or self._counts.arrived or stats.total_transfers else 1

    def _phase(self, stats: RcloneStatistics) -> Phase:
        if not self._transferring:
            if self._sync and stats.deletes:
                return Phase.FINISHING
            return Phase.CHECKING if stats.checks or stats.checking else Phase.SCANNING
        done = stats.bytes >= stats.total_bytes and stats.transfers >= stats.total_transfers
        return Phase.FINISHING if done and not stats.transferring else Phase.TRANSFERRING

    def _bytes_total(self, stats: RcloneStatistics) -> int | None:
        # The source is listed and compared before the first byte: the total is known from then on.
        # rclone takes a failed file out of its total; it still belongs to the job. If such a
        # remainder is all that was seen, the total is unknown; once known, it stays known.
        remainder = stats.errors > 0 and stats.bytes >= stats.total_bytes
        unseen = self._total == 0 and self._percent is None
        if not self._transferring:
            return None
        done, left = self._bytes_done(stats), max(0, stats.total_bytes - stats.bytes)
        if remainder and unseen:
            # The number of files that have arrived is known even then.
            self._done = max(self._done, done)
            return None
        # Bytes that were sent twice are in neither of the two. The first total stays unless more
        # arrives: rclone reads its counters one after another while files go on.
        self._done = max(self._done, done)
        self._total = max(self._total or done + left, self._done)
        return self._total

    def _bytes_done(self, stats: RcloneStatistics) -> int:
        if not self._counts.arrived and not stats.in_flight and not stats.errors:
            return stats.bytes
        under_way = self._counts.unreported(stats.in_flight)
        return min(stats.bytes, self._arrived(stats) + under_way)

    def _arrived(self, stats: RcloneStatistics) -> int:
        """Includes files that were renamed on the storage itself: their sizes are not logged."""
        return self._counts.bytes + stats.renamed

    def _unchanged(self, stats: RcloneStatistics) -> int:
        if self._report is not None:
            return self._report.count(EQUAL)
        if self._check or (not self._transferring and not self._counts.compared):
            return 0
        return self._counts.unchanged(stats, self._files_total)

    def _advance(self, done: int, total: int) -> None:
        if total > 0:
            share = min(ALMOST, done * 1000 // total / 10)
            self._percent = max(self._percent or 0.0, share)

    def _speed(self, stats: RcloneStatistics) -> int:
        if self._dry_run or not stats.travelled:
            # The time that the listing took does not count.
            self._speeds.clear()
            self._speeds.append((stats.elapsed, 0))
            return 0
        if not self._speeds:
            self._speeds.append((0.0, 0))
        self._speeds.append((stats.elapsed, stats.travelled))
        while len(self._speeds) > 1 and self._speeds[1][0] <= stats.elapsed - _WINDOW:
            self._speeds.popleft()
        since, bytes_then = self._speeds[0]
        seconds = stats.elapsed - since
        return max(0, int((stats.travelled - bytes_then) / seconds)) if seconds > 0 else 0

    def _average(self, stats: RcloneStatistics) -> int:
        seconds = stats.transfer_time or stats.elapsed
        return 0 if self._dry_run or seconds <= 0 else int(stats.travelled / seconds)


class _ActionCounts:
    """Counts what the log of one rclone says about single files."""

    def __init__(self, operation: str, stayed: Mapping[str, int]) -> None:
        self._move = operation == "move"
        self._stayed = stayed
        self.found_again = (0, 0)
        self.compared = False
        self.bytes = 0
        self.arrived = 0
        self.failed = 0
        self.deleted = 0
        #: The first that were said to be deleted, by rclone's own names.
        self.first_deleted: list[str] = []
        self._replaced = 0
        self._deleted_first = 0
        self._pairs = 0
        #: Files that have arrived since the last statistics, which may still list them.
        self._just_arrived: set[str] = set()
        #: Sizes of the files that a move has copied and not deleted yet.
        self._copied: dict[str, int] = {}

    @property
    def copied_only(self) -> tuple[int, int]:
        return len(self._copied), sum(self._copied.values())

    def add(self, done: Done) -> None:
        if done.action is FileAction.COMPARED:
            self.compared = True
        elif done.action is FileAction.DELETED:
            self.deleted += 1
            was_copied = self._copied.pop(done.name, None) is not None
            self._deleted_first += not (self.compared or was_copied)
            if len(self.first_deleted) < _FIRST_DELETED:
                self.first_deleted.append(done.name)
        elif done.action is FileAction.GONE:
            self._copied.pop(done.name, None)
        elif done.action is FileAction.EQUAL:
            if (size := self._stayed.get(done.name)) is None:
                self._deleted_first += 1
            else:
                self.found_again = self.found_again[0] + 1, self.found_again[1] + size
            if len(self.first_deleted) < _FIRST_DELETED:
                self.first_deleted.append(done.name)
        elif done.action is FileAction.FAILED:
            self.failed += 1
        else:
            self.arrived += 1
            self.bytes += done.size
            # Of a single file rclone never says that all is compared: what it has deleted under
            # this name was the older version.
            self._deleted_first -= not self.compared and done.name in self.first_deleted
            self._replaced += done.action is FileAction.REPLACED
            self._just_arrived.add(done.name)
            if self._move and done.action is not FileAction.MOVED and len(self._copied) < _COPIED:
                self._copied[done.name] = done.size

    def unreported(self, in_flight: tuple[tuple[str, int], ...]) -> int:
        """Bytes of files under way, without those of files that have arrived meanwhile."""
        self._just_arrived &= {name for name, _ in in_flight}
        return sum(sent for name, sent in in_flight if name not in self._just_arrived)

    def unchanged(self, stats: RcloneStatistics, files_total: int) -> int:
        """Files that both sides certainly had already, with the same content."""
        if self._move:
            # A move deletes such a file at the source before it moves the first one.
            return self._deleted_first
        # rclone counts a deletion as a check too. A file that is still to be copied may or may not
        # have an older version there.
        self._pairs = max(self._pairs, stats.checks - stats.deletes)
        to_come = max(0, files_total - self.arrived)
        return max(0, self._pairs - self._replaced - to_come)


def _eta(total: int | None, done: int, speed: int) -> int | None:
    if total is None or (speed == 0 and done < total):
        return None
    return -(-(total - done) // speed) if speed else 0
