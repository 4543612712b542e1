"""Joins the figures of several rclones of one job, in one attempt or in many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from portal.engine.output.progress import ALMOST, FIGURES, Phase, Progress

_ADDED = [name for name, figure in FIGURES.items() if figure.added]
#: The figures before anything was done, without the number of listed files.
_NOTHING_DONE = {
    name: None if name in ("total_bytes", "percent") else 0
    for name, figure in FIGURES.items()
    if figure.kept and name != "files_listed"
}


class CumulativeProgress:
    """Figures never fall. What a later rclone still has to do is added to what has arrived."""

    def __init__(self, operation: str, dry_run: bool, before: Progress | None = None) -> None:
        """``before``: the figures of earlier attempts. They were stopped or died: more may have
        arrived than the last of them could report."""
        self._moves = operation != "check" and not dry_run
        self._is_move = operation == "move"
        self._before = before
        self._is_exact = before is None
        #: Whether a later rclone sends every file once more, whatever arrived before: then nothing
        #: is added.
        self.sends_again = False
        self._repeated = (0, 0)
        #: Whether this rclone has said how much there is to do.
        self._has_begun = False
        self.last: Progress | None = self._before

    def start_retry(self) -> None:
        """Call this between two rclones, when everything of the first one was read."""
        self._is_exact |= self._has_begun
        self._has_begun = False
        self._before = self.last
        self._repeated = (0, 0)

    def repeat(self, files: int, size: int) -> None:
        """So many files, and their bytes, of those that have arrived come once more with the next
        rclone, but for those that it finds to be equal."""
        self._repeated = files, size

    def read(self, reading: Progress) -> Progress:
        self._has_begun |= reading.total_bytes is not None
        self.last = reading if self._before is None else self._joined(self._before, reading)
        return self.last

    def scanning(self, reading: Progress) -> Progress:
        """Reads figures of an rclone that moves nothing, such as a first dry run: the figures so
        far stay. The very first one shows how many files it has listed."""
        nothing_done: dict[str, Any] = _NOTHING_DONE
        figures = self.last or replace(reading, **nothing_done)
        return replace(
            figures, phase=Phase.SCANNING, speed_bytes=0, eta_seconds=None, current_files=()
        )

    def comparing(self, reading: Progress) -> Progress | None:
        """During the verification: the figures stay, and it is not complete."""
        return self.last and replace(
            self.last,
            phase=Phase.CHECKING,
            percent=min(ALMOST, self.last.percent or ALMOST),
            speed_bytes=0,
            eta_seconds=None,
            current_files=reading.current_files,
        )

    def _joined(self, before: Progress, reading: Progress) -> Progress:
        if reading.total_bytes is None and not (self._moves and reading.files_transferred):
            # It is still listing, or has nothing to transfer and deletes.
            return replace(
                before,
                phase=reading.phase,
                speed_bytes=0,
                eta_seconds=None,
                current_files=(),
                **{name: getattr(before, name) + getattr(reading, name) for name in _ADDED},
            )
        adds = self._moves and not self.sends_again
        joined = self._added(before, reading) if adds else reading
        complete = reading.percent == 100.0
        total, done = joined.total_bytes or 0, joined.bytes_transferred
        if not complete:
            total = max(total, before.total_bytes or 0)
        done = max(done, before.bytes_transferred)
        files = joined.files_total if complete else max(joined.files_total, before.files_total)
        share = joined.percent or 0.0
        if self._moves:
            share = min(ALMOST, done * 1000 // total / 10) if total else 0.0
        return replace(
            joined,
            bytes_transferred=done,
            total_bytes=max(total, done),
            percent=100.0 if complete else max(before.percent or 0.0, share),
            files_total=max(files, joined.files_transferred),
            files_transferred=joined.files_transferred
            if complete
            else max(joined.files_transferred, before.files_transferred),
            files_listed=max(before.files_listed, reading.files_listed),
            **{name: max(getattr(before, name), getattr(joined, name)) for name in _ADDED},
        )

    def _added(self, before: Progress, reading: Progress) -> Progress:
        """Adds what has arrived before. If not all of that was reported, it is the difference
        between what there was to do then and what is left now, if that is more."""
        arrived = max(0, before.bytes_arrived - self._repeated[1]) + reading.found_again[1]
        files = max(0, before.files_transferred - self._repeated[0]) + reading.found_again[0]
        left = reading.total_bytes or 0
        # An rclone that ended before it reported a total does not say what was left.
        if not self._is_exact and reading.total_bytes is not None:
            arrived = max(arrived, (before.total_bytes or 0) - left)
            files = max(files, before.files_total - reading.files_total)
        unchanged = reading.files_unchanged
        # Files that arrived then count as unchanged now; a move has taken them from the source.
        unchanged = before.files_unchanged + unchanged if self._is_move else unchanged - files
        return replace(
            reading,
            bytes_transferred=arrived + reading.bytes_transferred,
            bytes_arrived=arrived + reading.bytes_arrived,
            total_bytes=arrived + left,
            files_transferred=files + reading.files_transferred,
            files_total=files + reading.files_total,
            files_unchanged=max(0, unchanged),
            **{name: getattr(before, name) + getattr(reading, name) for name in _ADDED},
        )
