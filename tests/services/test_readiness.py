"""What the portal says of the parts that it depends on."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal.realtime import publish
from portal.services import readiness, workers
from portal.settings import Settings
from portal.worker.executors import NullExecutor
from tests.support.applications import configure

AWAY = OperationalError("SELECT 1", {}, Exception("away"))
NOT_THERE = "The folder /a is not there."


@pytest.fixture
def scaled_out(app: Flask, settings: Settings) -> None:
    """As far as readiness looks: its workers are elsewhere."""
    configure(app, settings=settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))


@pytest.mark.usefixtures("scaled_out")
def test_parts_of_a_portal_of_several_processes_are_those_of_its_workers(
    worker_process: Callable[..., int],
) -> None:
    found = readiness.parts()
    assert found["workers"] == "No worker is running: new jobs wait."
    assert found["rclone"] == "Unknown: no worker has reported on rclone."
    worker_id = worker_process("filer1:4711")
    assert set(readiness.parts().values()) == {"ok"}
    workers.beat(worker_id, [NOT_THERE])
    found = readiness.parts()
    assert (found["roots"], found["rclone"]) == (f"Worker filer1:4711: {NOT_THERE}", "ok")


@pytest.mark.usefixtures("scaled_out")
def test_without_the_database_nobody_knows_of_workers_and_of_their_folders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("any_lives", "root_problems"):
        monkeypatch.setattr(workers, name, Mock(side_effect=AWAY))
    found = readiness.parts()
    unknown = "Unknown: the database does not answer (OperationalError)."
    assert (found["workers"], found["roots"]) == (unknown, unknown)
    assert found["rclone"] == "Unknown: no worker has reported on rclone."
    assert found["database"] == "ok"


def test_queue_tells_which_part_of_it_is_away(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(NullExecutor):
        def is_alive(self) -> bool:
            return False

    assert readiness.parts()["queue"] == "ok"
    configure(app, executor=Stopped())
    assert readiness.parts()["queue"] == "The threads that run transfers have stopped."
    monkeypatch.setattr(publish, "delayed", lambda: True)
    assert readiness.parts()["queue"].startswith("Redis does not answer: live updates are delayed")


@pytest.mark.usefixtures("scaled_out")
def test_confinement_of_workers_is_theirs_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "confinement_problem", Mock(return_value="no Landlock"))
    one_process = readiness.runtime().settings
    assert readiness.why_unconfined(one_process) is None
    alone = one_process.model_copy(update={"redis_url": ""})
    assert readiness.why_unconfined(alone) == "rclone is not confined: no Landlock"
