"""Notices that nothing arrives at a storage, or from it, while a transfer runs.

rclone counts bytes when it reads them into its buffers: during an upload to a dead server it shows
"99 %" for many minutes. Therefore this counts the bytes that its process has written to its
connections (or read from them, if the destination is a disk of this machine), and finished files.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from portal.engine.output.statistics import RcloneStatistics

#: Seconds of silence after which people are informed.
_REPORT_AFTER = 15.0
#: Bytes, and bytes a second, that a process moves although no storage answers.
_NOISE, _NOISE_RATE = 8 * 1024, 50.0
#: A server that is asked for a file's checksum reads the whole of it, and meanwhile says nothing;
#: one that puts an object together from its parts takes a while too. Bytes a second.
_HASHING_RATE = 20e6
_JOINING_RATE = 1e9
#: Bytes of one file that wait together for their turn under a bandwidth limit.
_BURST = 2**20
#: A copy within one storage moves no bytes that could be seen from here.
_SERVER_SIDE = 10.0
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


@dataclass(frozen=True, slots=True)
class Activity:
    """The activity of one rclone at one moment. ``moved``: bytes, see ``moved_by``; None if
    unknown."""

    moved: int | None
    statistics: RcloneStatistics | None


class Silence:
    """``patience``: seconds of silence after which the storage is given up. ``within``: both sides
    are one storage. ``hashes``: the storage computes checksums when it is asked for them.
    ``noise``: bytes that say nothing."""

    def __init__(
        self,
        patience: float,
        *,
        within: bool = False,
        hashes: bool = False,
        rate: str | None = None,
        files: int = 1,
        noise: int = _NOISE,
    ) -> None:
        self._report_after = min(_REPORT_AFTER, patience / 3)
        self._patience = patience
        if within:
            self._report_after, self._patience = patience, patience * _SERVER_SIDE
        self._hashes = hashes
        self._files = files
        self._noise = noise
        self._slow = _slowness(rate, files)
        self._base = Activity(None, None)
        self._active_at: float | None = None
        self._extra = 0.0

    def look(self, activity: Activity, moment: float) -> None:
        """``moment``: of the monotonic clock."""
        if self._active_at is None or self._is_alive(activity, moment - self._active_at):
            self._base, self._active_at = activity, moment
        self._extra = self._slow + self._work(activity.statistics)

    def pause(self) -> None:
        """Call this when it was paused: counting begins again afterwards."""
        self._active_at = None

    def limit(self, rate: str | None) -> None:
        self._slow = _slowness(rate, self._files)

    def seconds(self, moment: float) -> float:
        """Returns for how many seconds nothing has arrived, or 0 if that is too short to report."""
        silent = 0.0 if self._active_at is None else moment - self._active_at
        return silent if silent >= self._report_after + self._slow else 0.0

    def is_over(self, moment: float) -> bool:
        """Whether to give the storage up."""
        return self._active_at is not None and (
            moment - self._active_at >= self._patience + self._extra
        )

    def _is_alive(self, now: Activity, seconds: float) -> bool:
        if _done(now.statistics) != _done(self._base.statistics):
            return True
        if now.moved is None or self._base.moved is None:
            return now.moved != self._base.moved
        return now.moved - self._base.moved > self._noise + _NOISE_RATE * seconds

    def _work(self, statistics: RcloneStatistics | None) -> float:
        """Seconds for which a storage that lives may well say nothing."""
        if statistics is None:
            return 0.0
        whole = [
            file.size or 0
            for file in statistics.transferring
            if file.size and file.bytes_transferred >= file.size
        ]
        rate = _HASHING_RATE if self._hashes else _JOINING_RATE
        compared = [file.size or 0 for file in statistics.checking] if self._hashes else []
        return (sum(whole) + sum(compared)) / rate


def moved_by(pid: int, *, writes: bool, log_bytes: int) -> int | None:
    """Bytes that a process has written, but for ``log_bytes`` of its log, or that it has read. The
    kernel counts those of connections and of files alike; what waits in a buffer of the process is
    in neither."""
    try:
        text = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(rf"^{'wchar' if writes else 'rchar'}: (\d+)$", text, re.MULTILINE)
    if found is None:
        return None
    return int(found[1]) - (log_bytes if writes else 0)


def _done(statistics: RcloneStatistics | None) -> tuple[int, ...]:
    if statistics is None:
        return ()
    # Not its bytes, which are those that were read, nor its errors: both grow while it tries in
    # vain.
    return (
        statistics.listed,
        statistics.checks,
        statistics.total_checks,
        statistics.transfers,
        statistics.total_transfers,
        statistics.deletes,
    )


def _slowness(rate: str | None, files: int) -> float:
    """Seconds that may pass between two bursts under a bandwidth limit."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]?)i?b?", (rate or "").lower())
    if found is None:
        return 0.0
    bytes_a_second = float(found[1]) * 1024 ** _POWERS.get(found[2], 0)
    return files * _BURST / bytes_a_second if bytes_a_second else math.inf
