"""The executor of a scaled-out portal: it sweeps, and asks workers to look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import ANY, Mock, call

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal.services.jobs import rescue
from portal.settings import Settings
from tests.support.transfers import claim_and_fall_silent, know_the_clocks, status_of
from tests.support.waiting import wait_for

AWAY = OperationalError("SELECT 1", {}, Exception("away"))


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
def notifier() -> Mock:
    return Mock(is_alive=True)


@pytest.fixture
def executor(
    app: Flask,
    module: Any,
    log: Mock,
    settings: Settings,
    notifier: Mock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    monkeypatch.setattr(module, "LookNotifier", lambda _url: notifier)
    made = module.CeleryExecutor(settings)
    made._timing = replace(made._timing, sweep=0.02)
    yield made
    made.stop()


def test_workers_look_when_they_are_asked_to(executor: Any, notifier: Mock) -> None:
    executor.look()
    assert notifier.mock_calls == [call.look()]


def test_workers_look_when_a_job_of_a_silent_worker_was_rescued(
    executor: Any, notifier: Mock, new_job: Any
) -> None:
    know_the_clocks()
    executor._sweep()
    assert not notifier.look.called, "there was nothing to rescue"
    job_id = new_job()
    claim_and_fall_silent(job_id)
    executor._sweep()
    assert status_of(job_id) == "queued"
    assert notifier.look.call_count == 1


def test_database_that_is_away_costs_a_sweep_and_the_next_one_goes_on(
    executor: Any, log: Mock, new_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job()
    claim_and_fall_silent(job_id)
    real, calls = rescue.sweep, []

    def sweep(seconds: float) -> bool:
        calls.append(seconds)
        if len(calls) < 3:
            raise AWAY
        return real(seconds)

    monkeypatch.setattr(rescue, "sweep", sweep)
    executor.start()
    wait_for(lambda: status_of(job_id) == "queued")
    assert executor.is_alive()
    assert log.mock_calls == [call.warning("no sweep", error=ANY)] * 2


def test_executor_whose_notifier_has_ended_is_not_alive(executor: Any, notifier: Mock) -> None:
    executor.start()
    assert executor.is_alive()
    notifier.is_alive = False
    assert not executor.is_alive()
    notifier.is_alive = True
    executor.stop()
    assert not executor.is_alive()
    assert call.stop() in notifier.mock_calls
