"""Keeps a running rclone at the bandwidth limit of the moment."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from portal.engine.running.rclone_process import RcloneProcess
from portal.transfers import bandwidth
from portal.transfers.bandwidth import OFF

#: Seconds between two attempts to tell rclone.
_RETRY_AFTER = 1.0


def rate_now(bandwidth_limit: str | None, timezone: str) -> str:
    """The rate of the moment, by the clock of ``timezone``; ``off`` for no limit."""
    table = bandwidth.from_row(bandwidth_limit)
    return table.rate_at(datetime.now(ZoneInfo(timezone))) if table else OFF


class BandwidthController:
    """Tells rclone each new rate, whether the clock or a person changed it."""

    def __init__(self, bandwidth_limit: str | None, timezone: str) -> None:
        self.bandwidth_limit = bandwidth_limit
        self._timezone = timezone
        self._rate = OFF
        self._tried_at = 0.0

    def begin(self) -> str | None:
        """The rate for the start of the next rclone; None without a limit."""
        self._rate = rate_now(self.bandwidth_limit, self._timezone)
        return None if self._rate == OFF else self._rate

    @property
    def rate(self) -> str | None:
        """The rate that the current rclone has; None without a limit."""
        return None if self._rate == OFF else self._rate

    def update(self, transfer: RcloneProcess) -> str | None:
        """Tells rclone the rate if it has changed; returns it if rclone has taken it."""
        rate = rate_now(self.bandwidth_limit, self._timezone)
        if rate == self._rate or time.monotonic() - self._tried_at < _RETRY_AFTER:
            return None
        self._tried_at = time.monotonic()
        if not transfer.limit(rate):
            return None
        self._rate = rate
        return rate
