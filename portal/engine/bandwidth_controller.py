"""Keeps a running rclone at the bandwidth limit of the moment."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from portal.engine.transfer import Transfer
from portal.transfers import bandwidth
from portal.transfers.bandwidth import OFF

#: Seconds between two tries to tell rclone.
_TELL_AGAIN = 1.0


def rate_now(bandwidth_limit: str | None, timezone: str) -> str:
    """Of a rate or a timetable by the clock of ``timezone``; ``off`` for no limit."""
    table = bandwidth.restored(bandwidth_limit)
    return table.rate_at(datetime.now(ZoneInfo(timezone))) if table else OFF


class BandwidthController:
    """rclone begins with the rate of the moment and knows no timetable: whatever changes it, the
    clock or a person, goes one way."""

    def __init__(self, bandwidth_limit: str | None, timezone: str) -> None:
        self.bandwidth_limit = bandwidth_limit
        self._timezone = timezone
        self._told = OFF
        self._told_at = 0.0

    def begin(self) -> str | None:
        """The rate with which the next rclone is to begin; None without a limit."""
        self._told = rate_now(self.bandwidth_limit, self._timezone)
        return None if self._told == OFF else self._told

    @property
    def rate(self) -> str | None:
        """What the current rclone was told last; None without a limit."""
        return None if self._told == OFF else self._told

    def update(self, transfer: Transfer) -> str | None:
        """The new rate, if rclone was just told of one."""
        rate = rate_now(self.bandwidth_limit, self._timezone)
        if rate == self._told or time.monotonic() - self._told_at < _TELL_AGAIN:
            return None
        self._told_at = time.monotonic()
        if not transfer.limit(rate):
            return None
        self._told = rate
        return rate
