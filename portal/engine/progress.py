"""From rclone's figures to a reading that a person can believe."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

from portal.engine.statistics import CurrentFile, Statistics

_WINDOW = 3.0  # seconds over which the current speed is averaged
_KEPT = 200  # readings of that window at most, should rclone's clock stand still
ALMOST = 99.9


class Phase(StrEnum):
    """What the transfer is doing."""

    SCANNING = "scanning"
    TRANSFERRING = "transferring"
    CHECKING = "checking"
    FINISHING = "finishing"


@dataclass(frozen=True, slots=True)
class Progress:
    """One reading.

    `percent` has one decimal, never falls within one transfer, and says 100 only of one that
    has succeeded. `total_bytes` and `percent` are None until the source is listed.
    """

    phase: Phase
    bytes_transferred: int
    total_bytes: int | None
    percent: float | None
    speed_bytes: int
    eta_seconds: int | None
    files_transferred: int
    files_total: int
    files_listed: int
    errors: int
    current_files: tuple[CurrentFile, ...]


class Tracker:
    """Turns the statistics of one rclone, in their order, into readings."""

    def __init__(self, operation: str, dry_run: bool) -> None:
        self._check = operation == "check"
        self._sync = operation == "sync"
        self._dry_run = dry_run
        self._transferring = False
        self._total = 0
        self._percent: float | None = None
        self._last: Statistics | None = None
        self._reading: Progress | None = None
        self._speeds: deque[tuple[float, int]] = deque(maxlen=_KEPT)

    def read(self, stats: Statistics) -> Progress:
        """The reading of the next line of statistics."""
        before, self._last = self._last, stats
        self._transferring |= bool(stats.bytes or stats.transfers or stats.transferring)
        phase = self._phase(stats)
        if self._check:
            files_done, files_total = stats.checks, max(stats.total_checks, stats.listed // 2)
            settled = before is not None and before.listed == stats.listed
            if settled and phase is Phase.CHECKING:
                self._advance(files_done, files_total)
            # A check moves no bytes; its percent counts files.
            total = None if self._percent is None else 0
        else:
            files_done, files_total = stats.transfers, stats.total_transfers
            total = self._bytes_total(stats)
            if total is not None:
                self._advance(stats.bytes or files_done, total or files_total)
        speed = self._speed(stats)
        self._reading = Progress(
            phase=phase,
            bytes_transferred=0 if self._dry_run or self._check else stats.bytes,
            total_bytes=total,
            percent=self._percent,
            speed_bytes=speed,
            eta_seconds=_eta(total, stats.bytes, speed),
            files_transferred=0 if self._dry_run and not self._check else files_done,
            files_total=files_total,
            files_listed=stats.listed,
            errors=stats.errors,
            current_files=stats.transferring or stats.checking,
        )
        return self._reading

    def finish(self, succeeded: bool) -> Progress | None:
        """The final figures: the last reading, with the average speed; complete if it succeeded."""
        stats = self._last or Statistics()
        if not succeeded:
            return self._reading and replace(
                self._reading, speed_bytes=self._average(stats), eta_seconds=None, current_files=()
            )
        reading = self._reading or self.read(stats)
        return replace(
            reading,
            phase=Phase.FINISHING,
            total_bytes=max(stats.bytes, stats.total_bytes),
            percent=100.0,
            speed_bytes=self._average(stats),
            eta_seconds=0,
            files_total=stats.total_checks if self._check else stats.total_transfers,
            current_files=(),
        )

    def _phase(self, stats: Statistics) -> Phase:
        if not self._transferring:
            if self._sync and stats.deletes:
                return Phase.FINISHING
            return Phase.CHECKING if stats.checks or stats.checking else Phase.SCANNING
        done = stats.bytes >= stats.total_bytes and stats.transfers >= stats.total_transfers
        return Phase.FINISHING if done and not stats.transferring else Phase.TRANSFERRING

    def _bytes_total(self, stats: Statistics) -> int | None:
        # The source is listed and compared before the first byte, so the total stands from then
        # on. rclone takes a file that fails out of its total; it still belongs to the job.
        # With nothing but such a remainder seen, the total is not known; once known, it stays so.
        remainder = stats.errors > 0 and stats.bytes >= stats.total_bytes
        unseen = self._total == 0 and self._percent is None
        if not self._transferring or (remainder and unseen):
            return None
        self._total = max(self._total, stats.total_bytes, stats.bytes)
        return self._total

    def _advance(self, done: int, total: int) -> None:
        if total > 0:
            share = min(ALMOST, done * 1000 // total / 10)
            self._percent = max(self._percent or 0.0, share)

    def _speed(self, stats: Statistics) -> int:
        if self._dry_run or not stats.travelled:
            # The time that went into the listing is no part of the speed.
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

    def _average(self, stats: Statistics) -> int:
        seconds = stats.transfer_time or stats.elapsed
        return 0 if self._dry_run or seconds <= 0 else int(stats.travelled / seconds)


def _eta(total: int | None, done: int, speed: int) -> int | None:
    if total is None or (speed == 0 and done < total):
        return None
    return -(-(total - done) // speed) if speed else 0
