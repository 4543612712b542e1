"""The process of a worker: what it does when a part of it ends, and what an admin asks of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any
from unittest.mock import MagicMock, Mock, call

import pytest
from flask import Flask

from portal.db.clock import now
from portal.errors import SettingsError
from portal.services.workers import WorkerDirectives
from portal.settings import Settings


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # Only here: Celery takes half a second to import.
    from portal.worker import process

    monkeypatch.setattr(process, "log", Mock())
    yield process
    process.celery_state.should_stop = None


class Celery:
    """Stands for Celery: takes messages until it is stopped, or ends by this error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.tasks: list[Any] = []
        self.controller: Any = Mock()
        self.controller.blueprint.start = self._start
        self.steps: dict[str, set[Any]] = {"consumer": set()}
        self.begun, self.ended = threading.Event(), threading.Event()

    def task(self, **_options: Any) -> Any:
        return self.tasks.append

    def connect(self) -> None:
        """As at its start, and whenever Redis is back."""
        for step in self.steps["consumer"]:
            step(Mock()).start(Mock())

    def WorkController(self, **_options: Any) -> Any:  # noqa: N802 - Celery's name
        return self.controller

    def _start(self, _controller: Any) -> None:
        self.begun.set()
        if self.error is not None:
            raise self.error
        self.ended.wait(10)


class Parts:
    """What a worker's process consists of, but for itself."""

    def __init__(self, module: Any, settings: Settings, celery: Celery) -> None:
        self.celery, self.lock, self.worker = celery, Mock(taken_by=""), Mock(running=0)
        self.executor, self.registration, self.watchdog = Mock(), Mock(), Mock()
        self.dispatcher = Mock()
        self.registration.process.pools = ("default", "site-b")
        self.registration.process.name = "filer1:4711"
        self.worker.stop.side_effect = celery.ended.set
        far = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
        self.process = module._Process(far, ("default", "site-b"), 2, self.lock)
        for name in ("celery", "executor", "registration", "watchdog", "worker"):
            setattr(self.process, f"_{name}", getattr(self, name))


@pytest.fixture
def parts(app: Flask, module: Any, settings: Settings) -> Iterator[Callable[..., Parts]]:
    made: list[Parts] = []

    def make(error: BaseException | None = None) -> Parts:
        made.append(Parts(module, settings, Celery(error)))
        return made[-1]

    yield make
    for one in made:
        one.celery.ended.set()


# --- its end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("lock", "Another portal (web2:1) has taken the database."),
        ("row", "The portal has removed this worker, which was silent for too long."),
        ("heartbeat", "The heartbeat has ended; the log says why."),
        ("sweep", "The sweeper has ended; the log says why."),
        ("notifier", "The notifier has ended: it gave no reason."),
        ("notifier's fault", "The notifier has ended: ImportError('packaging')."),
        ("dispatcher", "The dispatcher has ended; the log says why."),
        ("consumer", "The Celery consumer has ended: it gave no reason."),
        ("fault", "The Celery consumer has ended: TypeError('the hub is broken')."),
        ("", ""),
    ],
)
def test_part_that_has_ended_is_named(parts: Callable[..., Parts], broken: str, said: str) -> None:
    all_of_it = parts()
    all_of_it.lock.taken_by = "web2:1" if broken == "lock" else ""
    all_of_it.registration.is_removed = broken == "row"
    all_of_it.registration.is_alive = broken != "heartbeat"
    all_of_it.executor.is_sweeping = broken != "sweep"
    all_of_it.executor.notifier.is_alive = not broken.startswith("notifier")
    all_of_it.executor.notifier.fault = ImportError("packaging") if "'s" in broken else None
    all_of_it.process._dispatcher = all_of_it.dispatcher
    all_of_it.dispatcher.is_alive.return_value = broken != "dispatcher"
    if broken == "fault":
        all_of_it.process._fault = TypeError("the hub is broken")
    consumer = Mock()
    consumer.is_alive.return_value = broken != "consumer"
    assert all_of_it.process._what_ended(consumer) == said


@pytest.fixture
def run(module: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Parts], str]:
    """Runs it to its end; what it raised."""

    def to_the_end(whole: Parts) -> str:
        monkeypatch.setattr(module, "Worker", lambda *_args, **_named: whole.worker)
        monkeypatch.setattr(module, "Dispatcher", lambda *_args: whole.dispatcher)
        monkeypatch.setattr(module, "_CHECK_INTERVAL", 0.001)
        try:
            whole.process.run()
        except module.WorkerEnded as ended:
            return ended.message
        return ""

    return to_the_end


def has_let_go(whole: Parts) -> bool:
    """Of its jobs, its row, its transfers and the database, in the end."""
    calls = (
        *(whole.dispatcher.stop, whole.worker.stop, whole.dispatcher.join),
        *(whole.executor.stop, whole.registration.end),
        *(whole.watchdog.close, whole.lock.release),
    )
    return all(one.called for one in calls)


def test_worker_begins_and_ends_when_it_is_asked_to(
    module: Any, parts: Callable[..., Parts], run: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    whole = parts()
    monkeypatch.setattr(module.stopping, "requested", whole.celery.begun.is_set)
    assert run(whole) == ""
    told = [one for one in whole.executor.mock_calls if one != call.is_alive()]
    assert told == [call.start(), call.look(), call.look(), call.stop()], (
        "others look for the jobs of a dead predecessor, and for those it gives back"
    )
    assert whole.dispatcher.mock_calls[0] == call.start()
    assert capsys.readouterr().out == "Worker filer1:4711, pools: default, site-b\n"
    assert has_let_go(whole)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TypeError("broken"), "The Celery consumer has ended: TypeError('broken')."),
        (SystemExit(), "The Celery consumer has ended: it gave no reason."),
    ],
)
def test_worker_whose_consumer_ends_gives_all_back_and_fails(
    parts: Callable[..., Parts], run: Any, error: BaseException, said: str
) -> None:
    whole = parts(error)
    assert run(whole) == said
    assert whole.celery.controller.stop.called
    assert has_let_go(whole)


def test_worker_whose_celery_cannot_be_made_says_so(parts: Callable[..., Parts], run: Any) -> None:
    whole = parts()
    whole.process._celery = MagicMock()
    whole.process._celery.WorkController.side_effect = ImportError("no packaging")
    assert run(whole) == "The Celery consumer has ended: ImportError('no packaging')."
    assert has_let_go(whole)


@pytest.mark.parametrize("ended", ["", "The heartbeat has ended."])
def test_thread_that_waits_for_a_silent_server_does_not_hold_up_the_end(
    module: Any, parts: Callable[..., Parts], monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.01)
    whole, waits = parts(), threading.Event()
    whole.process._dispatcher = whole.dispatcher
    consumer = threading.Thread(target=waits.wait, args=(10,), daemon=True)
    consumer.start()
    with pytest.raises(module.WorkerEnded) if ended else nullcontext():
        whole.process._end(consumer, ended)
    assert consumer.is_alive()
    waits.set()
    assert has_let_go(whole)


# --- its jobs -----------------------------------------------------------------------------------


def asked(*, paused: bool = False, draining: bool = False) -> WorkerDirectives:
    return WorkerDirectives(paused, draining, now())


def test_paused_worker_takes_no_jobs_until_it_is_resumed(parts: Callable[..., Parts]) -> None:
    whole = parts()
    whole.process._apply(asked(paused=True))
    assert not whole.process._paused, "just started; the next heartbeat asks again"
    whole.process._dispatcher = whole.dispatcher
    for wanted in (True, False):
        for _ in range(2):  # each heartbeat brings it again
            whole.process._apply(asked(paused=wanted))
    assert whole.dispatcher.mock_calls == [call.pause(True), call.pause(False)]
    assert not whole.process._stopping.is_set()


def test_drained_worker_ends_when_its_last_job_has(parts: Callable[..., Parts]) -> None:
    whole = parts()
    whole.process._dispatcher = whole.dispatcher
    whole.worker.running = 1
    whole.process._apply(asked(draining=True))
    assert not whole.process._stopping.is_set()
    assert whole.dispatcher.mock_calls == [call.pause(True)], "it takes no more"
    whole.worker.running = 0
    whole.process._apply(asked(draining=True))
    assert whole.process._stopping.is_set()


def test_worker_looks_at_each_message_and_whenever_redis_is_there(
    parts: Callable[..., Parts],
) -> None:
    whole = parts(SystemExit())
    whole.process._consume()
    (task,) = whole.celery.tasks
    task()
    whole.celery.connect()
    assert not whole.dispatcher.look.called, "it has just started, and will look by itself"
    whole.process._dispatcher = whole.dispatcher
    task()
    whole.celery.connect()
    assert whole.dispatcher.look.call_count == 2


# --- its start ----------------------------------------------------------------------------------


def test_worker_of_a_portal_of_one_process_is_refused(module: Any, settings: Settings) -> None:
    with pytest.raises(SettingsError, match="PORTAL_REDIS_URL: a worker needs it"):
        module.run_worker(settings, (), None)


def test_worker_without_a_usable_rclone_is_refused_before_it_touches_the_database(
    module: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.stopping, "install_handlers", Mock())
    locks = Mock()
    monkeypatch.setattr(module, "DatabaseLock", locks)
    nothing = {"redis_url": "redis://127.0.0.1:1/0", "rclone": settings.data_dir / "no rclone"}
    with pytest.raises(SettingsError, match="PORTAL_RCLONE: "):
        module.run_worker(settings.model_copy(update=nothing), (), None)
    assert not locks.called
