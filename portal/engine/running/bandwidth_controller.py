"""Keeps a running rclone at the bandwidth of the moment: the job's own limit, and its share of the
budgets."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from portal.engine.running.control import RateRequest
from portal.transfers import bandwidth
from portal.transfers.bandwidth import OFF

#: Seconds between two attempts to tell rclone.
_RETRY_AFTER = 0.5
#: What rclone has not used of its limit it may send later at full speed, up to 4 MiB. Under a
#: budget that was lent to others: beyond so many bytes the limit is set anew, which begins at
#: nothing; seconds between two times.
_UNUSED_BYTES, _RENEW_AFTER = 256 * 1024, 1.0


class BandwidthController:
    """Tells rclone each new rate, whether the clock, a person or a budget changed it."""

    def __init__(self, bandwidth_limit: str | None, timezone: str) -> None:
        self.bandwidth_limit = bandwidth_limit
        #: Bytes a second that budgets leave the job; None if none limits it.
        self.allowed: int | None = None
        self._timezone = timezone
        self._rate = OFF
        #: The job's own rate that was last noted.
        self._noted = OFF
        self._request: RateRequest | None = None
        self._tried_at = 0.0
        self._is_doubtful = False
        self._unused = _Unused()

    def begin(self) -> str | None:
        """The rate for the start of the next rclone; None without a limit."""
        self.end()
        self._noted = self._own_rate()
        self._rate = self._wanted_rate(self._noted)
        self._unused = _Unused()
        return self.rate

    def end(self) -> None:
        """Call this when the rclone has ended."""
        if self._request is not None:
            self._request.close()
            self._request = None

    @property
    def rate(self) -> str | None:
        """The rate that the current rclone has; None without a limit."""
        return None if self._rate == OFF else self._rate

    @property
    def most(self) -> int | None:
        """Bytes a second that it may move now or a moment later; None without a limit."""
        asked = [self._request.rate] if self._request is not None else []
        rates = [bandwidth.bytes_of(rate) for rate in (self._rate, *asked)]
        numbers = [rate for rate in (*rates, self.next_most) if rate is not None]
        return max(numbers) if len(numbers) > len(rates) else None

    @property
    def next_most(self) -> int | None:
        """As ``most``, where none runs."""
        return bandwidth.bytes_of(self._wanted_rate(self._own_rate()))

    def update(self, path: Path | None, travelled: tuple[float, int]) -> str | None:
        """Tells rclone at ``path`` the rate if it has changed, without waiting for it.
        ``travelled``: its seconds and bytes so far. Returns the job's own rate if that has changed
        and is in force."""
        own = self._own_rate()
        wanted = self._wanted_rate(own)
        self._hear()
        if self._request is None and path is not None and self._is_due(wanted, travelled):
            self.send(path)
        if wanted != self._rate or own == self._noted:
            return None
        self._noted = own
        return own

    def send(self, path: Path) -> None:
        """Tells rclone the rate, even one that stands still: it obeys before it goes on."""
        # Nobody knows which of two requests rclone obeys last.
        self._is_doubtful = self._request is not None
        self.end()
        self._tried_at = time.monotonic()
        self._request = RateRequest(path, self._wanted_rate(self._own_rate()))
        self._hear()

    def _hear(self) -> None:
        if self._request is None or (taken := self._request.answer()) is None:
            return
        if taken:
            self._rate = self._request.rate
            self._unused.clear()
        self.end()

    def _is_due(self, wanted: str, travelled: tuple[float, int]) -> bool:
        rate = None if self.allowed is None else bandwidth.bytes_of(self._rate)
        unused = self._unused.add(rate, *travelled)
        since = time.monotonic() - self._tried_at
        if wanted != self._rate or self._is_doubtful:
            return since >= _RETRY_AFTER
        return unused > _UNUSED_BYTES and since >= _RENEW_AFTER

    def _own_rate(self) -> str:
        return bandwidth.rate_at(self.bandwidth_limit, self._timezone, datetime.now(UTC))

    def _wanted_rate(self, own: str) -> str:
        if self.allowed is None:
            return own
        number = bandwidth.bytes_of(own)
        # 0 would be no limit at all.
        return own if number is not None and number <= self.allowed else f"{max(1, self.allowed)}B"


class _Unused:
    """How many bytes a limited rclone could have moved and has not."""

    def __init__(self) -> None:
        self._bytes = 0.0
        self._seconds = 0.0
        self._moved = 0

    def add(self, rate: int | None, seconds: float, moved: int) -> float:
        gained = (rate or 0) * (seconds - self._seconds) - (moved - self._moved)
        self._bytes = max(0.0, self._bytes + gained)
        self._seconds, self._moved = seconds, moved
        return self._bytes

    def clear(self) -> None:
        self._bytes = 0.0
