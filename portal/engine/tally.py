"""One transfer may take several rclones, one after another: their figures as those of one."""

from __future__ import annotations

from dataclasses import replace

from portal.engine.progress import ALMOST, Phase, Progress


class Tally:
    """Figures never fall. What a later rclone finds left to do is taken from the whole."""

    def __init__(self) -> None:
        self._before: Progress | None = None
        self.last: Progress | None = None

    def again(self) -> None:
        """What is read from here on is of another rclone."""
        self._before = self.last

    def read(self, reading: Progress) -> Progress:
        self.last = reading if self._before is None else _joined(self._before, reading)
        return self.last

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


def scanning(reading: Progress) -> Progress:
    """Of a look ahead that moves nothing: how much it has found."""
    return Progress(
        phase=Phase.SCANNING,
        bytes_transferred=0,
        total_bytes=None,
        percent=None,
        speed_bytes=0,
        eta_seconds=None,
        files_transferred=0,
        files_total=0,
        files_listed=reading.files_listed,
        errors=reading.errors,
        current_files=(),
    )


def _joined(before: Progress, reading: Progress) -> Progress:
    if reading.total_bytes is None:
        # It still looks for what is left.
        return replace(
            before, phase=reading.phase, speed_bytes=0, eta_seconds=None, current_files=()
        )
    total = max(before.total_bytes or 0, reading.total_bytes)
    done = max(before.bytes_transferred, total - reading.total_bytes + reading.bytes_transferred)
    files = max(before.files_total, reading.files_total)
    share = min(ALMOST, done * 1000 // total / 10) if total else 0.0
    return replace(
        reading,
        bytes_transferred=done,
        total_bytes=total,
        percent=100.0 if reading.percent == 100.0 else max(before.percent or 0.0, share),
        files_total=files,
        files_transferred=max(
            before.files_transferred, files - reading.files_total + reading.files_transferred
        ),
        files_listed=max(before.files_listed, reading.files_listed),
    )
