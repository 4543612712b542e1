"""Messages to the workers by Redis, which say no more than "look"."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import ANY, Mock

import pytest

from tests.support.parts import Redis
from tests.support.waiting import wait_for


@pytest.fixture
def module() -> Any:
    # Only here: Celery takes half a second to import.
    from portal.worker.executors import notifier

    return notifier


@pytest.fixture
def log(module: Any, monkeypatch: pytest.MonkeyPatch) -> Mock:
    made = Mock()
    monkeypatch.setattr(module, "log", made)
    return made


@pytest.fixture
def notifier(module: Any) -> Iterator[Callable[[str], Any]]:
    made: list[Any] = []

    def make(url: str) -> Any:
        made.append(module.LookNotifier(url))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@contextmanager
def listening(module: Any, redis: Redis) -> Iterator[list[str]]:
    """The tasks that one of several workers is sent."""
    heard: list[str] = []
    app = module.celery_app(redis.url)
    queue = next(iter(app.amqp.queues.values()))
    over, ready = threading.Event(), threading.Event()

    def listen() -> None:
        with (
            app.connection() as connection,
            connection.Consumer(
                queues=[queue],
                callbacks=[lambda _, message: heard.append(message.headers["task"])],
                no_ack=True,
            ),
        ):
            ready.set()
            while not over.is_set():
                try:
                    connection.drain_events(timeout=0.05)
                except TimeoutError:
                    continue

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(10)
    yield heard
    over.set()
    thread.join()


def test_every_worker_hears_it(module: Any, notifier: Callable[[str], Any], redis: Redis) -> None:
    sender = notifier(redis.url)
    sender.start()
    with listening(module, redis) as one, listening(module, redis) as other:
        sender.look()
        wait_for(lambda: (one, other) == ([module.TASK], [module.TASK]))


def test_message_that_is_still_to_be_sent_leaves_before_the_end(
    module: Any, notifier: Callable[[str], Any], redis: Redis
) -> None:
    sender = notifier(redis.url)
    with listening(module, redis) as heard:
        sender.look()
        sender.start()
        sender.stop()
        assert not sender.is_alive
        wait_for(lambda: heard != [])


def test_many_looks_at_once_are_few_messages(
    module: Any, notifier: Callable[[str], Any], redis: Redis
) -> None:
    sender = notifier(redis.url)
    sender.start()
    with listening(module, redis) as heard:
        for _ in range(1000):
            sender.look()
        wait_for(lambda: heard != [])
        sender.stop()
    assert len(heard) < 500


def test_nobody_waits_for_a_redis_that_is_away_and_workers_hear_it_when_it_is_back(
    module: Any, notifier: Callable[[str], Any], redis: Redis, log: Mock
) -> None:
    sender = notifier(redis.url)
    redis.freeze()
    sender.start()
    sender.look()
    wait_for(lambda: log.warning.called, 20)
    log.warning.assert_called_with("workers were not asked to look", error=ANY)
    redis.thaw()
    with listening(module, redis) as heard:
        wait_for(lambda: heard != [] or sender.look(), 20)
    assert sender.is_alive
