"""The log of an attempt and its curve of speed.

Both are written apart from the progress that people watch, and never delay the transfer: while the
database is unavailable they wait in bounded memory.
"""

from __future__ import annotations

import time

import structlog

from portal.db.clock import now
from portal.db.session import AWAY, reason, session
from portal.engine import LogLine, Run
from portal.services.jobs import logs, speeds
from portal.services.jobs.speed_curve import Series

log = structlog.get_logger(__name__)

#: Seconds between two writes of the log, and of the speed.
LOG_PACE = 1.0
SPEED_PACE = 10.0
#: Seconds until the first write of the speed; the interval doubles up to SPEED_PACE.
FIRST_SPEED = 2.0


class AttemptLog:
    """Log and speed of one attempt."""

    def __init__(self, job_id: int, attempt: int) -> None:
        self._job_id, self._attempt = job_id, attempt
        self._began, self._started_at = time.monotonic(), now()
        self._log_at = self._began
        self._speed_due = self._began + FIRST_SPEED
        self._new_lines: list[LogLine] = []
        self._left_out = 0
        self._tail: logs.Tail | None = None
        self._is_lost = False
        self._is_away = False
        self._series = Series()
        self._latest: tuple[float, int] | None = None

    def say(self, level: str, message: str) -> None:
        """Adds a line of the portal's own."""
        self._new_lines.append(LogLine(time.time(), level, "", message))

    def note(self, speed_bytes: int) -> None:
        """Adds a speed to the curve. rclone's last figure is the average of the whole transfer, so
        each speed is added only when the next one arrives."""
        if self._latest is not None:
            self._series.add(*self._latest)
        self._latest = time.monotonic() - self._began, speed_bytes

    def collect(self, transfer: Run) -> None:
        """Takes rclone's log lines from the engine."""
        lines, left_out = transfer.take_log()
        self._new_lines += lines
        self._left_out += left_out

    def keep(self, transfer: Run) -> None:
        """Writes what is due. While the database is unavailable the lines stay with the engine,
        which drops and counts those that do not fit."""
        moment = time.monotonic()
        try:
            # Even with many lines a second none is lost, and they are not all held in memory. But
            # an unavailable database is not asked again with every line.
            waits = transfer.log_waits and not self._is_away
            if moment - self._log_at >= LOG_PACE or waits:
                self._log_at = moment
                self._is_away = True
                if self._write_log():
                    self.collect(transfer)
                    self._write_log()
                self._is_away = False
            if moment >= self._speed_due:
                self._speed_due = moment + min(SPEED_PACE, moment - self._began)
                self._write_speed()
        except AWAY as error:
            log.warning("the log was not written", job=self._job_id, error=reason(error))
            session.rollback()

    def end(self) -> None:
        """Writes the rest; passes on any error of the database."""
        self._write_log()
        self._write_speed()

    def _write_log(self) -> bool:
        """Returns False if a later attempt has begun, because the log belongs to that one."""
        if self._tail is None and not self._is_lost:
            self._tail = logs.begin(self._job_id, self._attempt)
        if self._tail is not None:
            new_lines, left_out = self._new_lines, self._left_out
            self._new_lines, self._left_out = [], 0
            logs.append_lines(self._tail, new_lines, left_out)
            if not logs.save(self._tail):
                self._tail = None
        self._is_lost = self._tail is None
        return not self._is_lost

    def _write_speed(self) -> None:
        if self._series.points:
            speeds.save(self._job_id, self._attempt, self._started_at, self._series)
