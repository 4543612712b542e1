"""The row of a worker process: what it finds when it begins, its heartbeat, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY, Mock, call

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal import engine
from portal.db.session import session, write
from portal.models import WorkerProcess
from portal.services import workers
from portal.services.actor import Actor
from portal.services.jobs import claims, control
from portal.services.workers import WorkerDirectives
from portal.worker import registration
from portal.worker.registration import WorkerRegistration, this_process
from tests.support.transfers import history, startable, status_of
from tests.support.waiting import wait_for

AWAY = OperationalError("SELECT 1", {}, Exception("away"))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Mock:
    made = Mock()
    monkeypatch.setattr(registration, "log", made)
    return made


@pytest.fixture
def told() -> list[WorkerDirectives]:
    return []


@pytest.fixture
def mine(app: Flask, log: Mock, told: list[WorkerDirectives]) -> Iterator[WorkerRegistration]:
    made = WorkerRegistration(this_process(("site-b", "site-b"), 4), 0.02, told.append, list)
    yield made
    made._ended.set()
    if made.is_alive:
        made._thread.join(5)
    assert not made.is_alive


def row(worker_id: int) -> WorkerProcess:
    session.remove()
    found = session.get_one(WorkerProcess, worker_id)
    session.remove()
    return found


def test_pools_of_a_worker_are_named_once_and_one_at_least() -> None:
    assert this_process(("b", "a", "b"), 4).pools == ("b", "a")
    assert this_process((), 4).pools == ("default",)


def test_successor_takes_back_the_jobs_of_the_dead_of_its_machine_and_of_nobody_else(
    mine: WorkerRegistration, worker_process: Callable[..., int], new_job: Any, root: Any, user: Any
) -> None:
    here = {"machine": mine.process.machine}
    dead = worker_process("here:1", **here, process="1:1")
    living = worker_process("here:2", **here, process=engine.process_identity())
    elsewhere = worker_process("there:1", process="1:1")
    owned = {}
    for owner in (dead, living, elsewhere):
        owned[owner] = new_job(destination=root / f"to {owner}")
        assert claims.claim(owned[owner], f"of {owner}", owner)
    cancelled = new_job(destination=root / "to one that is cancelled")
    assert claims.claim(cancelled, "of the dead", dead)
    control.cancel(cancelled, actor=Actor(user("bob")))
    waiting = new_job(destination=root / "to one that is cancelled")
    worker_id = mine.begin()
    states = {owner: str(status_of(job_id)) for owner, job_id in owned.items()}
    assert states == {dead: "queued", living: "running", elsewhere: "running"}
    assert status_of(cancelled) == "cancelled"
    assert history(owned[dead]) == ["queued", "running", "interrupted", "queued"]
    ended = [row(owner).stopped_at is not None for owner in (dead, living, elsewhere, worker_id)]
    assert ended == [True, False, False, False]
    assert startable() == [owned[dead], waiting], "the workers look when this one has begun"
    assert (row(worker_id).pools, row(worker_id).concurrency) == (["site-b"], 4)


def test_directives_come_with_a_heartbeat_and_heartbeats_with_the_missing_folders(
    mine: WorkerRegistration, told: list[WorkerDirectives], user: Any
) -> None:
    mine._roots._look = lambda: ["The folder /a is not there."]
    worker_id = mine.begin()
    wait_for(lambda: told)
    assert not told[0].paused
    assert row(worker_id).root_problems == ["The folder /a is not there."]
    workers.pause(worker_id, actor=Actor(user("alice")))
    wait_for(lambda: told[-1].paused)


def test_heart_goes_on_after_a_beat_without_the_database(
    mine: WorkerRegistration,
    told: list[WorkerDirectives],
    log: Mock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine.begin()
    with monkeypatch.context() as away:
        away.setattr(workers, "beat", Mock(side_effect=AWAY))
        wait_for(lambda: log.warning.called)
    assert log.warning.mock_calls[0] == call("no heartbeat", error=ANY)
    assert mine.is_alive
    told.clear()
    wait_for(lambda: told)


def test_worker_whose_row_was_removed_is_told_nothing_and_knows_it(
    mine: WorkerRegistration, told: list[WorkerDirectives]
) -> None:
    worker_id = mine.begin()
    wait_for(lambda: told)
    with write() as tx:
        tx.delete(tx.get_one(WorkerProcess, worker_id))
        tx.commit()
    assert mine._beat() is None
    assert mine.is_removed
    assert mine.is_alive


def test_end_is_written_and_the_heart_stops(mine: WorkerRegistration) -> None:
    worker_id = mine.begin()
    mine.end()
    assert row(worker_id).stopped_at is not None
    wait_for(lambda: not mine.is_alive)


def test_end_without_the_database_is_an_end_all_the_same(
    mine: WorkerRegistration, log: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_id = mine.begin()
    with monkeypatch.context() as away:
        away.setattr(workers, "mark_stopped", Mock(side_effect=AWAY))
        mine.end()
    log.warning.assert_called_with("the end of this worker was not written", error=ANY)
    wait_for(lambda: not mine.is_alive)
    assert row(worker_id).stopped_at is None
