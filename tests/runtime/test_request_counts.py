"""Requests are counted in this process, or by several together in Redis; one that is away refuses
nobody."""

from __future__ import annotations

import time

import pytest
from limits import RateLimitItemPerMinute

from portal.runtime import request_counts
from portal.runtime.request_counts import ProcessStorage, RequestCounts
from tests.support.parts import Redis

LIMIT = RateLimitItemPerMinute(5, 1, "exports")


class Clock:
    def __init__(self) -> None:
        self.moment = 1_000_000.0

    def time(self) -> float:
        return self.moment

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(request_counts, "time", made)
    return made


def hits(counts: RequestCounts, number: int, key: str = "user 1") -> list[bool]:
    return [counts.hit(LIMIT, key) for _ in range(number)]


def test_requests_beyond_the_limit_are_told_and_the_next_window_is_free(clock: Clock) -> None:
    counts = RequestCounts()
    assert hits(counts, 7) == [True] * 5 + [False] * 2
    clock.moment += 20
    assert counts.left(LIMIT, "user 1") == (0, 40.0)
    assert hits(counts, 1, "user 2") == [True]
    clock.moment += 40
    assert counts.left(LIMIT, "user 1") == (5, 0.0)
    assert hits(counts, 6) == [True] * 5 + [False]


def test_windows_that_are_over_take_no_memory(clock: Clock) -> None:
    storage = ProcessStorage()
    for number in range(1000):
        storage.incr(f"address {number}", 60)
    clock.moment += 61
    storage.incr("address 0", 60)
    assert storage.reset() == 1


def test_addresses_without_end_take_bounded_memory(clock: Clock) -> None:
    storage = ProcessStorage(most=100)
    for number in range(10_000):
        clock.moment += 0.001
        storage.incr(f"address {number}", 60)
    assert storage.get("address 9999") == 1
    assert storage.reset() == 100


def test_processes_count_together_in_redis(redis: Redis) -> None:
    one, other = RequestCounts(redis.url), RequestCounts(redis.url)
    assert hits(one, 3) + hits(other, 3) == [True] * 5 + [False]
    assert other.left(LIMIT, "user 1")[0] == one.left(LIMIT, "user 1")[0] == 0
    assert 55 < one.left(LIMIT, "user 1")[1] <= 60
    assert hits(other, 1, "user 2") == [True]
    assert other.left(LIMIT, "user 2")[0] == 4


def test_counts_go_on_without_redis_and_return_to_it(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = RequestCounts(redis.url)
    hits(counts, 6)
    redis.kill()
    assert hits(counts, 6) == [True] * 5 + [False], "counted here, from the beginning"
    assert counts.left(LIMIT, "user 1")[0] == 0
    redis.start()
    assert hits(counts, 1) == [False], "not asked again at once"
    monkeypatch.setattr(request_counts, "_ASK_AGAIN", 0.0)
    counts._ask_at = time.monotonic()
    assert hits(counts, 6) == [True] * 5 + [False], "Redis came back empty"
    assert hits(RequestCounts(redis.url), 1) == [False]


def test_redis_that_is_away_when_the_counts_begin_is_no_matter(redis: Redis) -> None:
    redis.stop()
    counts = RequestCounts(redis.url)
    assert counts.left(LIMIT, "user 1") == (5, 0.0)
    assert hits(counts, 6) == [True] * 5 + [False]


def test_redis_that_hangs_is_waited_for_once(redis: Redis) -> None:
    counts = RequestCounts(redis.url)
    hits(counts, 1)
    redis.freeze()
    try:
        begun = time.monotonic()
        assert hits(counts, 3) == [True] * 3
        first = time.monotonic() - begun
        hits(counts, 50)
        assert time.monotonic() - begun - first < first
    finally:
        redis.thaw()
