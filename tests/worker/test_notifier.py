"""Messages to workers by Redis: which arrive, and what is known of those that did not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY, Mock

import pytest
from redis import RedisError

from tests.support.parts import Redis
from tests.support.waiting import wait_for


@pytest.fixture
def module() -> Any:
    # Only here: Celery takes half a second to import.
    from portal.worker.executors import notifier

    return notifier


@pytest.fixture
def notifier(module: Any) -> Iterator[Callable[[str], Any]]:
    made: list[Any] = []

    def make(url: str) -> Any:
        made.append(module.JobNotifier(url))
        return made[-1]

    yield make
    for one in made:
        one._redis.close()


@pytest.fixture
def full(redis: Redis) -> Iterator[Redis]:
    """It answers, and has no memory for another message."""
    with redis.client() as client:
        client.config_set("maxmemory", 1)
        yield redis
        client.config_set("maxmemory", 0)


def test_messages_wait_in_the_queue_of_their_pool(
    module: Any, notifier: Callable[[str], Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)  # so that the backlog is read in three parts
    sender = notifier(redis.url)
    assert sender.is_empty(None)
    assert sender.deliver([1, 2, 3, 4, 5], None)
    assert sender.deliver([6], "site-b")
    assert sender.backlog(None) == {1, 2, 3, 4, 5}
    assert sender.backlog("site-b") == {6}
    assert (sender.is_empty("site-b"), sender.is_empty("site-c")) == (False, True)


def test_name_of_a_queue_tells_its_pool(module: Any) -> None:
    for pool in (None, "site-b", "a.b"):
        assert module.pool_of(module.queue_name(pool)) == pool


def test_messages_that_are_still_to_be_sent_leave_before_the_end(
    notifier: Callable[[str], Any], redis: Redis
) -> None:
    sender = notifier(redis.url)
    for job_id, pool in ((1, None), (2, "site-b"), (3, None)):
        sender.notify(job_id, pool)
    sender.start()
    sender.stop()
    assert not sender.is_alive
    reader = notifier(redis.url)
    assert (reader.backlog(None), reader.backlog("site-b")) == ({1, 3}, {2})


def test_message_that_does_not_arrive_is_told_and_no_more_are_taken_until_redis_answers(
    module: Any, notifier: Callable[[str], Any], full: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Mock()
    monkeypatch.setattr(module, "log", log)
    monkeypatch.setattr(module, "_SECONDS", 0.01)
    sender = notifier(full.url)
    sender.start()
    sender.notify(7, None)
    wait_for(lambda: sender._failed)
    log.warning.assert_called_once_with("a job was not notified", job=7, error=ANY)
    sender.notify(8, None)
    assert sender._waiting.empty(), "the sweep notifies again of all that wait"
    full.client().config_set("maxmemory", 0)
    assert sender.broker_restarted()
    sender.notify(9, None)
    wait_for(lambda: sender.backlog(None) == {9})
    sender.stop()
    assert not sender.is_alive


def test_delivery_of_some_only_is_no_delivery(
    module: Any, notifier: Callable[[str], Any], full: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Mock()
    monkeypatch.setattr(module, "log", log)
    sender = notifier(full.url)
    assert not sender.deliver([1, 2], None)
    log.warning.assert_called_once_with("waiting jobs were not notified", error=ANY)
    assert sender.is_empty(None)
    assert sender.broker_restarted(), "so that the next sweep notifies of all"


def test_redis_that_was_away_or_began_anew_may_have_lost_messages(
    module: Any, notifier: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Mock()
    monkeypatch.setattr(module, "log", log)
    sender = notifier("redis://127.0.0.1:1/0")
    away = RedisError("away")
    first, second = {"run_id": "first"}, {"run_id": "second"}
    answers = [first, first, second, second, away, away, second, second]
    sender._redis = Mock()
    sender._redis.info.side_effect = answers
    told = [sender.broker_restarted() for _ in answers]
    assert told == [False, False, True, False, False, False, True, False]
    assert log.warning.call_count == 1, "that it is away is told once"
