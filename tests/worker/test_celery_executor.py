"""The executor of a scaled-out portal: it sweeps, and no job is left without a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import ANY, Mock, call

import pytest
import redis
from flask import Flask
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from portal.db.session import database_time, session
from portal.models import Job
from portal.services.jobs import rescue
from portal.settings import Settings
from tests.support.transfers import claim_and_fall_silent, status_of, stored
from tests.support.waiting import wait_for

AWAY = OperationalError("SELECT 1", {}, Exception("away"))


class Messages:
    """Stands for Redis: the messages that wait there, each with its pool. ``takes``: whether
    further ones arrive; ``fault``: what each question meets."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, str | None]] = []
        self.takes = True
        self.fault: Exception | None = None
        self.restarts = 0
        self.is_alive = False

    def start(self) -> None:
        self.is_alive = True

    def stop(self) -> None:
        self.is_alive = False

    def notify(self, job_id: int, pool: str | None) -> None:
        self.waiting.append((job_id, pool))

    def broker_restarted(self) -> bool:
        self.restarts, restarted = max(0, self.restarts - 1), self.restarts > 0
        return restarted

    def backlog(self, pool: str | None) -> set[int]:
        self._answer()
        return {job_id for job_id, of in self.waiting if of == pool}

    def is_empty(self, pool: str | None) -> bool:
        return not self.backlog(pool)

    def deliver(self, job_ids: list[int], pool: str | None) -> bool:
        if self.takes:
            self.waiting += [(job_id, pool) for job_id in job_ids]
        return self.takes

    def _answer(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def messages() -> Messages:
    return Messages()


@pytest.fixture
def module() -> Any:
    # Only here: Celery takes half a second to import.
    from portal.worker.executors import celery

    return celery


@pytest.fixture
def log(module: Any, monkeypatch: pytest.MonkeyPatch) -> Mock:
    made = Mock()
    monkeypatch.setattr(module, "log", made)
    return made


@pytest.fixture
def executor(
    app: Flask,
    module: Any,
    log: Mock,
    settings: Settings,
    messages: Messages,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    monkeypatch.setattr(module, "JobNotifier", lambda _url: messages)
    made = module.CeleryExecutor(settings)
    yield made
    made.stop()


def sweep_often(executor: Any) -> None:
    executor._timing = replace(executor._timing, sweep=0.02)


def waits_for(job_id: int, seconds: float) -> None:
    """Since it was queued."""
    old = update(Job).where(Job.id == job_id).values(queued_at=database_time(ago=seconds))
    session.execute(old)
    session.commit()


def is_noted(job_id: int) -> bool:
    return stored(job_id).notified_at is not None


def test_all_that_waits_is_notified_once_after_a_start_and_after_a_restart_of_redis(
    module: Any,
    executor: Any,
    messages: Messages,
    new_job: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CLAIM_SWEEPS", 10_000)  # a lost message is missed by no sweep
    sweep_often(executor)
    first, other = new_job(), new_job(pool="site-b")
    executor.start()
    wait_for(lambda: is_noted(first) and is_noted(other))
    assert sorted(messages.waiting) == [(first, None), (other, "site-b")]
    assert executor.is_alive()
    messages.waiting.clear()
    messages.restarts = 1
    wait_for(lambda: len(messages.waiting) == 2)
    executor.stop()
    assert not executor.is_alive()
    assert sorted(messages.waiting) == [(first, None), (other, "site-b")]


def test_lost_message_is_sent_again_and_one_that_waits_is_not(
    executor: Any, messages: Messages, new_job: Any
) -> None:
    lost, waiting = new_job(), new_job(pool="site-b")
    messages.notify(waiting, "site-b")
    for job_id in (lost, waiting):
        waits_for(job_id, 30)  # longer than three sweeps, and not long enough to be due
    assert executor._sweep(everything=False)
    assert messages.waiting == [(waiting, "site-b"), (lost, None)]
    assert (is_noted(lost), is_noted(waiting)) == (True, False)


def test_job_of_a_silent_worker_gets_a_message(
    executor: Any, messages: Messages, new_job: Any
) -> None:
    job_id = new_job()
    claim_and_fall_silent(job_id)
    assert executor._sweep(everything=False)
    assert status_of(job_id) == "queued"
    assert messages.waiting == [(job_id, None)]
    assert is_noted(job_id)


@pytest.mark.parametrize("everything", [True, False])
def test_message_that_did_not_arrive_stays_due(
    executor: Any, messages: Messages, new_job: Any, everything: bool
) -> None:
    job_id = new_job()
    waits_for(job_id, 60)
    messages.takes = False
    assert executor._sweep(everything) is not everything, "all are notified at the next sweep, too"
    assert not is_noted(job_id)
    messages.takes = True
    assert executor._sweep(everything)
    assert messages.waiting == [(job_id, None)]
    assert is_noted(job_id)


@pytest.mark.parametrize("everything", [True, False])
def test_redis_that_does_not_answer_costs_a_sweep_and_no_job(
    executor: Any, messages: Messages, log: Mock, new_job: Any, everything: bool
) -> None:
    job_id = new_job()
    waits_for(job_id, 60)
    messages.fault = redis.ConnectionError("away")
    assert not executor._sweep(everything)
    log.warning.assert_called_once_with("the queue was not read", error="away")
    assert not is_noted(job_id)
    messages.fault = None
    assert executor._sweep(everything)
    assert messages.waiting == [(job_id, None)]


def test_database_that_is_away_costs_a_sweep_and_the_next_one_goes_on(
    executor: Any, messages: Messages, log: Mock, new_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job()
    real, calls = rescue.sweep, []

    def sweep(*times: float) -> Any:
        calls.append(times)
        if len(calls) < 3:
            raise AWAY
        return real(*times)

    monkeypatch.setattr(rescue, "sweep", sweep)
    sweep_often(executor)
    executor.start()
    wait_for(lambda: is_noted(job_id))
    assert messages.waiting == [(job_id, None)]
    assert log.mock_calls == [call.warning("no sweep", error=ANY)] * 2


def test_message_that_could_not_be_noted_is_not_sent_twice(
    executor: Any, messages: Messages, log: Mock, new_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job()
    with monkeypatch.context() as away:
        away.setattr(rescue, "note_notified", Mock(side_effect=AWAY))
        assert not executor._sweep(everything=True)
    log.warning.assert_called_once_with("it was not noted which jobs were notified", error=ANY)
    assert messages.waiting == [(job_id, None)]
    assert executor._sweep(everything=True)
    assert messages.waiting == [(job_id, None)]
    assert is_noted(job_id)


def test_notification_goes_to_the_pool_of_the_job(
    executor: Any, messages: Messages, new_job: Callable[..., int]
) -> None:
    executor.notify(7, "site-b")
    executor.notify(8)
    assert messages.waiting == [(7, "site-b"), (8, None)]
