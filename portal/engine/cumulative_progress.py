"""A job may take several rclones, one after another, in one attempt or in many: their figures as
those of one."""

from __future__ import annotations

from dataclasses import replace

from portal.engine.progress import ALMOST, Phase, Progress


class CumulativeProgress:
    """Figures never fall. What a later rclone finds left to do is added to what has arrived."""

    def __init__(self, operation: str, dry_run: bool, before: Progress | None = None) -> None:
        """``before``: what earlier attempts have told. They were stopped, or died: of the last of
        them more may have arrived than it could still tell."""
        self._moves = operation != "check" and not dry_run
        self._is_move = operation == "move"
        self._before = before
        self._is_exact = before is None
        #: Whether this rclone has told what is left to do.
        self._has_begun = False
        self.last: Progress | None = self._before

    def start_retry(self) -> None:
        """What is read from here on is of another rclone. All that this one has said is read."""
        self._is_exact |= self._has_begun
        self._has_begun = False
        self._before = self.last

    def read(self, reading: Progress) -> Progress:
        self._has_begun |= reading.total_bytes is not None
        self.last = reading if self._before is None else self._joined(self._before, reading)
        return self.last

    def scanning(self, reading: Progress) -> Progress:
        """Of a look ahead, or of tidying up, that moves nothing: the figures so far stand; the
        first of all tells how much it has found."""
        figures = self.last or replace(
            reading,
            bytes_transferred=0,
            bytes_arrived=0,
            total_bytes=None,
            percent=None,
            files_transferred=0,
            files_total=0,
            files_unchanged=0,
            files_deleted=0,
        )
        return replace(
            figures, phase=Phase.SCANNING, speed_bytes=0, eta_seconds=None, current_files=()
        )

    def comparing(self, reading: Progress) -> Progress | None:
        """While it is verified: the figures stand, and it is not complete."""
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
            # It still looks for what is left.
            return replace(
                before, phase=reading.phase, speed_bytes=0, eta_seconds=None, current_files=()
            )
        joined = self._added(before, reading) if self._moves else reading
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
            files_deleted=max(before.files_deleted, joined.files_deleted),
        )

    def _added(self, before: Progress, reading: Progress) -> Progress:
        """To what has arrived before. Where not all of that was told, it is the difference between
        what was to be done then and what is left now, if that is more."""
        arrived, files = before.bytes_arrived, before.files_transferred
        left = reading.total_bytes or 0
        # One that was over before it told a total does not say what was left.
        if not self._is_exact and reading.total_bytes is not None:
            arrived = max(arrived, (before.total_bytes or 0) - left)
            files = max(files, before.files_total - reading.files_total)
        unchanged = reading.files_unchanged
        # What arrived then is there now; a move has taken it from the source.
        unchanged = before.files_unchanged + unchanged if self._is_move else unchanged - files
        return replace(
            reading,
            bytes_transferred=arrived + reading.bytes_transferred,
            bytes_arrived=arrived + reading.bytes_arrived,
            total_bytes=arrived + left,
            files_transferred=files + reading.files_transferred,
            files_total=files + reading.files_total,
            files_unchanged=max(0, unchanged),
            files_deleted=before.files_deleted + reading.files_deleted,
        )
