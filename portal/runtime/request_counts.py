"""Counts requests within windows of time, in this process or, for several processes, in Redis.

A Redis that is away refuses nobody: until it is back, each process counts by itself.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import redis
import structlog
from limits import RateLimitItem
from limits.storage import RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

_PREFIX = "portal:requests"
#: Seconds for which a request waits for Redis.
_PATIENCE = 0.5
#: Seconds after which a Redis that was away is asked again.
_ASK_AGAIN = 10.0
_MAX_WINDOWS = 50_000


@dataclass(slots=True)
class _Window:
    ends: float
    count: int = 0


class ProcessStorage(Storage):
    """The windows of this process, the oldest first. The library's own storage starts a thread for
    nearly each request and looks through all windows in it; here a new window removes the ones that
    are over, and beyond ``most`` the oldest."""

    STORAGE_SCHEME = None

    def __init__(self, most: int = _MAX_WINDOWS) -> None:
        super().__init__()
        self._most = most
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        moment = time.time()
        with self._lock:
            window = self._windows.get(key)
            if window is None or window.ends <= moment:
                self._windows.pop(key, None)  # so that the new one stands at the end
                self._make_room(moment)
                window = self._windows[key] = _Window(moment + expiry)
            window.count += amount
            return window.count

    def _make_room(self, moment: float) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest].ends > moment and len(self._windows) < self._most:
                return
            del self._windows[oldest]

    def get(self, key: str) -> int:
        window = self._windows.get(key)
        return window.count if window is not None and window.ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        window = self._windows.get(key)
        return window.ends if window is not None else time.time()

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        number = len(self._windows)
        self._windows.clear()
        return number

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)


class RequestCounts:
    def __init__(self, redis_url: str = "") -> None:
        self._here = FixedWindowRateLimiter(ProcessStorage())
        self._shared = _in_redis(redis_url) if redis_url else None
        self._ask_at = 0.0

    def hit(self, limit: RateLimitItem, key: str) -> bool:
        """Counts a request. Returns whether it is within the limit."""
        if self._shared is not None and time.monotonic() >= self._ask_at:
            if self._ask_at:
                self._ask_at = time.monotonic() + _ASK_AGAIN  # by this request alone
            try:
                allowed = self._shared.hit(limit, key)
            except redis.RedisError as error:
                self._fail(error)
            else:
                self._recover()
                return allowed
        return self._here.hit(limit, key)

    def left(self, limit: RateLimitItem, key: str) -> tuple[int, float]:
        """Returns how many more requests the window allows, and in how many seconds it ends."""
        limiter = self._here
        if self._shared is not None and not self._ask_at:
            limiter = self._shared
        try:
            reset, remaining = limiter.get_window_stats(limit, key)
        except redis.RedisError as error:
            self._fail(error)
            reset, remaining = self._here.get_window_stats(limit, key)
        return max(0, remaining), max(0.0, reset - time.time())

    def _fail(self, error: redis.RedisError) -> None:
        if not self._ask_at:
            log.warning("requests are counted by each process, for Redis", reason=str(error))
        self._ask_at = time.monotonic() + _ASK_AGAIN

    def _recover(self) -> None:
        if self._ask_at:
            log.info("requests are counted by all processes together again")
            self._ask_at = 0.0


def _in_redis(url: str) -> FixedWindowRateLimiter:
    # Nothing connects before the first request.
    storage = RedisStorage(
        url,
        key_prefix=_PREFIX,
        socket_connect_timeout=_PATIENCE,
        socket_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]
    )
    return FixedWindowRateLimiter(storage)
