"""The dispatcher: it fills the slots of one worker process with jobs of the queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal.services.actor import Actor
from portal.services.jobs import control, scheduler
from portal.settings import Settings
from portal.worker import Worker, dispatcher
from portal.worker.dispatcher import Dispatcher
from portal.worker.executors.in_process import InProcessExecutor
from tests.support.applications import configure
from tests.support.transfers import MIB, fill, rclones, scripted_rclone, status_of, stored, tree
from tests.support.waiting import wait_for

BRIEF = "tell(10, 10)"


@pytest.fixture
def run(app: Flask, settings: Settings) -> Iterator[Callable[..., InProcessExecutor]]:
    """Starts an executor with so many slots."""
    started: list[InProcessExecutor] = []

    def start(slots: int, **changes: Any) -> InProcessExecutor:
        changed = settings.model_copy(update={"max_running_jobs": slots, **changes})
        started.append(InProcessExecutor(changed))
        configure(app, executor=started[-1])
        started[-1].start()
        return started[-1]

    yield start
    for executor in started:
        executor.stop()


def test_paused_job_gives_its_slot_to_another_one_and_gets_the_next_when_it_is_resumed(
    run: Any, new_job: Any, user: Any, root: Path
) -> None:
    run(1, paused_keeps_slot_seconds=0.0)
    bob = Actor(user("bob"))
    source = fill(root / "from", MIB, 3)
    first = new_job(source=source, destination=root / "one", bandwidth_limit="1M")
    wait_for(lambda: stored(first).bytes_transferred > 0)
    second = new_job(source=source, destination=root / "two", bandwidth_limit="1M")
    third = new_job(source=fill(root / "small"), destination=root / "three")
    assert status_of(second) == "queued"
    control.pause(first, actor=bob)
    wait_for(lambda: status_of(second) == "running")
    assert stored(first).slot_released_at is not None
    control.resume(first, actor=bob)
    control.limit(first, None, actor=bob)
    wait_for(lambda: status_of(first) == "completed", 30)
    assert status_of(second) == "completed", "it had to end before"
    assert stored(first).attempt == 1
    wait_for(lambda: status_of(third) == "completed")
    assert tree(root / "one") == tree(root / "two") == tree(source)


def test_job_that_is_paused_again_while_it_waits_for_a_slot_leaves_it_to_others(
    run: Any, new_job: Any, user: Any, root: Path
) -> None:
    slots = run(1, paused_keeps_slot_seconds=0.0)._dispatcher._slots
    bob = Actor(user("bob"))
    source = fill(root / "from", MIB, 30)
    first = new_job(source=source, destination=root / "one", bandwidth_limit="1M")
    wait_for(lambda: stored(first).bytes_transferred > 0)
    control.pause(first, actor=bob)
    second = new_job(source=source, destination=root / "two", bandwidth_limit="1M")
    wait_for(lambda: stored(second).bytes_transferred > 0)
    control.resume(first, actor=bob)
    wait_for(lambda: slots._resumed)  # it has asked for a slot, and got none
    assert stored(first).slot_released_at is not None
    control.pause(first, actor=bob)
    third = new_job(source=fill(root / "small"), destination=root / "three")
    control.cancel(second, actor=bob)
    wait_for(lambda: status_of(third) == "completed")
    assert status_of(first) == "running"
    control.cancel(first, actor=bob)
    wait_for(lambda: status_of(first) == "cancelled")


def test_paused_job_keeps_its_slot_for_a_while(
    run: Any, new_job: Any, user: Any, root: Path, settings: Settings
) -> None:
    run(1, paused_keeps_slot_seconds=60.0)
    first = new_job(source=fill(root / "from", MIB, 3), bandwidth_limit="1M")
    wait_for(lambda: stored(first).bytes_transferred > 0)
    second = new_job()
    control.pause(first, actor=Actor(user("bob")))
    wait_for(lambda: stored(first).speed_bytes == 0)
    assert (status_of(second), stored(first).slot_released_at) == ("queued", None)
    control.cancel(first, actor=Actor(user("bob")))
    wait_for(lambda: status_of(second) == "completed")
    assert rclones(settings.data_dir) == []


def test_slots_that_are_filled_at_once_are_shared_fairly(
    run: Any, new_job: Any, root: Path, tmp_path: Path
) -> None:
    """A job that is just being claimed counts for its owner already."""
    mine = [new_job("bob", destination=root / f"mine {number}") for number in range(4)]
    hers = [new_job("bella", destination=root / f"hers {number}") for number in range(2)]
    run(4, rclone=scripted_rclone(tmp_path, "time.sleep(60)"))
    wait_for(lambda: all(status_of(job_id) == "running" for job_id in [*mine[:2], *hers]))
    assert [str(status_of(job_id)) for job_id in mine[2:]] == ["queued"] * 2


def test_place_that_is_looked_up_slowly_holds_up_no_other_job(
    run: Any, new_job: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = new_job(destination=root / "slow"), new_job(destination=root / "other")
    released = threading.Event()
    real = scheduler.places.of_queued

    def look_up(job_id: int) -> Any:
        if job_id == slow:
            released.wait(20)
        return real(job_id)

    monkeypatch.setattr(scheduler.places, "of_queued", look_up)
    run(2)
    wait_for(lambda: status_of(other) == "completed")
    assert status_of(slow) == "queued"
    released.set()
    wait_for(lambda: status_of(slow) == "completed")


class Refusing:
    """A worker that finds one job again and again, and can never claim it."""

    def __init__(self) -> None:
        self.asked: list[frozenset[int]] = []
        self.tries = 0
        self.fault: Exception | None = None

    def find_next(self, _pools: object, claiming: list[Any], refused: set[int]) -> Any:
        self.asked.append(frozenset(refused))
        return None if claiming or 7 in refused else scheduler.QueuedJob(7, 1)

    def claim(self, _job_id: int, _slot: object) -> None:
        self.tries += 1
        if self.fault is not None:
            raise self.fault


@pytest.mark.parametrize("fault", [None, OperationalError("SELECT 1", {}, Exception("away"))])
def test_job_that_cannot_be_claimed_is_tried_again_only_when_somebody_asks(
    app: Flask, fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker: Any = Refusing()
    worker.fault = fault
    tested = Dispatcher(worker, [None], 3, every=60.0)
    tested.start()
    wait_for(lambda: worker.tries == 1)
    wait_for(lambda: frozenset({7}) in worker.asked)
    tested.look()
    wait_for(lambda: worker.tries == 2)
    tested.pause(True)
    asked = len(worker.asked)
    tested.look()
    tested.stop()
    assert tested.join(5)
    assert not tested.is_alive()
    assert len(worker.asked) == asked
    assert worker.tries == 2


def test_look_of_its_own_finds_what_nobody_has_told(
    app: Flask, new_job: Any, settings: Settings, tmp_path: Path
) -> None:
    rclone = scripted_rclone(tmp_path, BRIEF)
    worker = Worker(settings.model_copy(update={"rclone": rclone}), "test:1")
    tested = Dispatcher(worker, [None], 1, every=0.1)
    tested.start()
    job_id = new_job()
    wait_for(lambda: status_of(job_id) == "completed")
    tested.stop()
    worker.stop()
    assert tested.join(5)


def test_database_that_is_away_costs_a_look(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Log:
        def warning(self, event: str, **_about: object) -> None:
            told.append(event)

    class Away:
        def find_next(self, *_: object) -> None:
            raise OperationalError("SELECT 1", {}, Exception("away"))

    monkeypatch.setattr(dispatcher, "log", Log())
    worker: Any = Away()
    tested = Dispatcher(worker, [None], 1, every=0.02)
    tested.start()
    wait_for(lambda: len(told) >= 3)
    assert set(told) == {"the queue was not read"}
    assert tested.is_alive()
    tested.stop()
    assert tested.join(5)
