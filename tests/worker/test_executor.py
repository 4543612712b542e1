"""The executor of one process: how many at once, in which order, and what it finds by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY, Mock, call

import pytest
from flask import Flask
from sqlalchemy import select

from portal.db.session import session
from portal.models import JobEvent
from portal.services.jobs import claims
from portal.settings import Settings
from portal.worker import dispatcher
from portal.worker.executors import NullExecutor, in_process
from portal.worker.executors.in_process import InProcessExecutor
from tests.support.applications import configure
from tests.support.transfers import (
    MIB,
    Recorder,
    fill,
    history,
    locked,
    miscounted,
    on_database,
    rclones,
    scripted_rclone,
    status_of,
    tree,
)
from tests.support.waiting import wait_for

BRIEF = "tell(10, 10)\ntime.sleep(0.3)"
ENDLESS = "while True:\n    tell(10, 1000)\n    time.sleep(0.1)"

Run = Callable[..., Any]


@pytest.fixture
def run(app: Flask, settings: Settings, tmp_path: Path) -> Iterator[Run]:
    """Starts an executor with so many places whose rclone is this script."""
    started: list[InProcessExecutor] = []

    def start(places: int, script: str | None = None) -> InProcessExecutor:
        changes: dict[str, Any] = {"max_running_jobs": places}
        if script is not None:
            changes["rclone"] = scripted_rclone(tmp_path, script)
        started.append(InProcessExecutor(settings.model_copy(update=changes)))
        configure(app, executor=started[-1])
        started[-1].start()
        return started[-1]

    yield start
    for executor in started:
        executor.stop()
    assert rclones(settings.data_dir) == []


def all_are(status: str, ids: list[int]) -> bool:
    return all(status_of(job_id) == status for job_id in ids)


def test_no_more_jobs_run_at_once_than_there_are_places(
    run: Run, new_job: Any, events: Recorder
) -> None:
    run(2, BRIEF)
    ids = [new_job() for _ in range(6)]

    def ended() -> int:
        return sum(event.data.get("new_status") == "completed" for event in events.all)

    wait_for(lambda: ended() == len(ids))  # an event leaves after its row is written
    running, most = 0, 0
    for event in events.all:
        if event.name == "job_status_change":
            running += {"running": 1, "completed": -1}[event.data["new_status"]]
            most = max(most, running)
    assert (most, running) == (2, 0)


def test_jobs_start_in_the_order_in_which_they_were_made(run: Run, new_job: Any) -> None:
    ids = [new_job() for _ in range(3)]  # before the start: found by the sweep
    run(1, BRIEF)
    ids += [new_job() for _ in range(2)]
    wait_for(lambda: all_are("completed", ids))
    started = select(JobEvent.job_id).where(JobEvent.new_status == "running")
    assert list(session.scalars(started.order_by(JobEvent.id))) == ids


def test_job_is_started_at_once_and_need_not_wait_for_the_sweep(run: Run, new_job: Any) -> None:
    run(1, BRIEF)
    asked_at = time.monotonic()
    job_id = new_job()
    wait_for(lambda: status_of(job_id) != "queued")
    assert time.monotonic() - asked_at < in_process._SWEEP / 2


def test_job_of_which_nobody_was_told_is_found(
    app: Flask, run: Run, new_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_process, "_SWEEP", 0.2)
    run(1, BRIEF)
    configure(app, executor=NullExecutor())  # hears nothing
    job_id = new_job()
    wait_for(lambda: status_of(job_id) == "completed")


def test_executor_goes_on_after_it_could_not_read_the_queue(
    app: Flask,
    run: Run,
    new_job: Any,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_process, "_SWEEP", 0.1)
    log = Mock()
    monkeypatch.setattr(dispatcher, "log", log)
    executor = run(1, BRIEF)
    configure(app, executor=NullExecutor())
    job_id = new_job()
    on_database(settings.data_dir, "ALTER TABLE jobs RENAME TO elsewhere")
    wait_for(lambda: call.warning("the queue was not read", error=ANY) in log.mock_calls)
    on_database(settings.data_dir, "ALTER TABLE elsewhere RENAME TO jobs")
    wait_for(lambda: status_of(job_id) == "completed")
    assert executor.is_alive()


def test_many_looks_run_the_job_once(run: Run, new_job: Any, events: Recorder) -> None:
    executor = run(3, BRIEF)
    job_id = new_job()
    for _ in range(50):
        executor.look()
    wait_for(lambda: status_of(job_id) == "completed")
    wait_for(lambda: events.statuses(job_id) == ["running", "completed"])


def test_stop_gives_every_running_job_back_and_leaves_the_others_queued(
    run: Run, new_job: Any, settings: Settings
) -> None:
    executor = run(2, ENDLESS)
    ids = [new_job() for _ in range(4)]
    wait_for(lambda: sum(status_of(job_id) == "running" for job_id in ids) == 2)
    wait_for(lambda: len(rclones(settings.data_dir)) == 2)
    before = time.monotonic()
    executor.stop()
    assert time.monotonic() - before < 5
    assert rclones(settings.data_dir) == []
    assert all_are("queued", ids)
    assert not executor.is_alive()
    assert history(ids[0]) == ["queued", "running", "queued"]
    executor.stop()  # a second stop has nothing to do
    assert miscounted() == {}


def test_stop_ends_within_its_patience_also_when_no_worker_can_write(
    run: Run, new_job: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_process._TIMEOUT < 10  # what a stop may take
    monkeypatch.setattr(in_process, "_TIMEOUT", 2.0)
    executor = run(3, ENDLESS)
    ids = [new_job() for _ in range(3)]
    wait_for(lambda: all_are("running", ids))
    with locked(settings.data_dir):
        before = time.monotonic()
        executor.stop()
        assert time.monotonic() - before < 4


def test_start_rescues_the_jobs_of_a_dead_process(run: Run, new_job: Any, root: Path) -> None:
    fill(root / "from", MIB)
    ids = [new_job(source=root / "from", destination=root / str(n)) for n in range(2)]
    for job_id in ids:
        claims.claim(job_id, "gone:1")
    run(2)
    wait_for(lambda: all_are("completed", ids))
    assert history(ids[0]) == [
        *("queued", "running", "interrupted", "queued", "running", "completed"),
    ]
    assert tree(root / "0") == tree(root / "from")


def test_place_survives_a_database_that_is_locked_when_it_wants_to_claim(
    app: Flask,
    run: Run,
    new_job: Any,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warnings: list[str] = []

    class Log:
        def warning(self, event: str, **_about: object) -> None:
            warnings.append(event)

    monkeypatch.setattr(in_process, "_SWEEP", 0.5)
    monkeypatch.setattr(dispatcher, "log", Log())
    job_id = new_job()
    monkeypatch.setattr("portal.db.session._TIMEOUT", 0.3)
    with locked(settings.data_dir):
        executor = run(1, BRIEF)
        wait_for(lambda: sum("not claimed" in event for event in warnings) >= 2)
        assert status_of(job_id) == "queued"
    wait_for(lambda: status_of(job_id) == "completed")
    assert executor.is_alive()
