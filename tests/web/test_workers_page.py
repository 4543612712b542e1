"""The page Workers: what admins see of the processes that run transfers, and what they may ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal.app import build_app
from portal.db import session as database
from portal.db.session import database_time, session
from portal.models import AuditEntry, Job, WorkerProcess
from portal.realtime import publish
from portal.services import workers
from portal.settings import Settings
from portal.transfers.states import JobStatus
from tests.support.applications import configure, engine_of
from tests.support.client import Browser
from tests.support.transfers import Recorder


@pytest.fixture
def scale_out(app: Flask, settings: Settings) -> Flask:
    """The same application as of a portal that leaves its jobs to workers."""
    configure(app, settings=settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    return app


def change(worker_id: int, **values: Any) -> None:
    session.execute(update(WorkerProcess).where(WorkerProcess.id == worker_id).values(**values))
    session.commit()
    session.remove()


def row_of(worker_id: int) -> WorkerProcess:
    session.remove()
    return session.get_one(WorkerProcess, worker_id)


def test_portal_in_one_process_says_that_it_runs_the_jobs_itself(browser: Any) -> None:
    page = browser("alice").get("/workers").text

    assert "This portal runs its jobs itself" in page
    assert "PORTAL_REDIS_URL" in page


def test_page_without_a_worker_says_how_to_start_one(scale_out: Flask, browser: Any) -> None:
    page = browser("alice").get("/workers").text

    assert "No worker is running, so new jobs wait." in page
    assert "portal worker --concurrency 4" in page


def test_folder_that_a_worker_does_not_find_is_shown_and_makes_the_portal_unready(
    scale_out: Flask, browser: Any, worker_process: Callable[..., int]
) -> None:
    worker = worker_process(name="filer1:4711")
    workers.beat(worker, ["The folder /media/<usb> is not there."])
    page = browser("alice").get("/workers").text
    assert "The folder /media/&lt;usb&gt; is not there." in page
    answer = browser("alice").get("/readyz")
    said = "Worker filer1:4711: The folder /media/<usb> is not there."
    assert (answer.status_code, answer.json["parts"]["roots"]) == (503, said)
    workers.beat(worker)
    assert browser("alice").get("/readyz").json["parts"]["roots"] == "ok"
    assert "is not there" not in browser("alice").get("/workers").text


def test_folder_of_a_worker_that_has_ended_troubles_nobody(
    scale_out: Flask, browser: Any, worker_process: Callable[..., int]
) -> None:
    worker = worker_process()
    workers.beat(worker, ["The folder /media/usb is not there."])
    workers.mark_stopped(worker)
    assert browser("alice").get("/readyz").json["parts"]["roots"] == "ok"


def test_worker_is_shown_with_what_it_is_and_does(
    scale_out: Flask, browser: Any, worker_process: Callable[..., int], new_job: Any
) -> None:
    worker = worker_process(pools=("default", "site-b"), version="7.8.9")
    job = new_job()
    session.execute(
        update(Job).where(Job.id == job).values(status=JobStatus.RUNNING, worker_id=worker)
    )
    session.commit()

    page = browser("alice").get("/workers").text
    assert "1 of 1 accepting jobs, 1 job running" in page
    for words in ("filer1:4711", "version 7.8.9", "default, site-b", f'href="/jobs/{job}"'):
        assert words in page
    assert 'data-state="running"' in page


@pytest.mark.parametrize(
    ("values", "state", "buttons"),
    [
        ({"paused_at": None}, "running", {"Pause", "Drain"}),
        ({"paused_at": database_time()}, "paused", {"Resume", "Drain"}),
        ({"draining_at": database_time()}, "draining", {"Resume"}),
        ({"heartbeat_at": database_time(ago=60)}, "lost", set()),
        ({"stopped_at": database_time()}, "stopped", set()),
    ],
)
def test_each_state_is_named_and_offers_what_makes_sense(
    scale_out: Flask,
    browser: Any,
    worker_process: Callable[..., int],
    values: dict[str, Any],
    state: str,
    buttons: set[str],
) -> None:
    change(worker_process(), **values)
    page = browser("alice").get("/workers").text

    assert f'data-state="{state}"' in page
    shown = {verb for verb in ("Pause", "Resume", "Drain") if f'id="{verb.lower()}-' in page}
    assert shown == buttons


@pytest.mark.parametrize(
    ("verb", "column"), [("pause", "paused_at"), ("drain", "draining_at"), ("resume", None)]
)
def test_what_is_asked_of_a_worker_is_noted_and_in_the_audit_log(
    scale_out: Flask,
    browser: Any,
    worker_process: Callable[..., int],
    verb: str,
    column: str | None,
) -> None:
    worker = worker_process()
    if column is None:
        change(worker, paused_at=database_time(), draining_at=database_time())
    answer = browser("alice").post(f"/workers/{worker}/{verb}")

    assert (answer.status_code, answer.location) == (303, "/workers")
    row = row_of(worker)
    asked = {name for name in ("paused_at", "draining_at") if getattr(row, name) is not None}
    assert asked == ({column} if column else set())
    entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert (entry.action, entry.target) == (f"worker.{verb}", "worker filer1:4711")
    assert entry.actor == "alice"


def test_worker_that_has_ended_can_be_asked_nothing(
    scale_out: Flask, browser: Any, worker_process: Callable[..., int]
) -> None:
    worker = worker_process()
    workers.mark_stopped(worker)
    alice: Browser = browser("alice")

    assert alice.post(f"/workers/{worker}/pause").status_code == 409
    assert alice.post("/workers/999/pause").status_code == 404


def test_pages_of_admins_follow_what_happens_to_a_worker_and_nobody_elses_do(
    scale_out: Flask, browser: Any, worker_process: Callable[..., int], events: Recorder
) -> None:
    def told() -> list[str]:
        return [str(event.room) for event in events.all if event.name == "refresh"]

    alice: Browser = browser("alice")
    assert told() == []
    worker = worker_process()
    for number, verb in enumerate(("pause", "resume", "drain"), 2):
        alice.post(f"/workers/{worker}/{verb}")
        assert told() == ["role:admin"] * number
    workers.mark_stopped(worker)
    assert alice.post(f"/workers/{worker}/pause").status_code == 409
    assert told() == ["role:admin"] * 5


def test_navigation_leads_admins_to_it_and_nobody_else(browser: Any) -> None:
    assert 'href="/workers"' in browser("alice").get("/").text
    assert 'href="/workers"' not in browser("bob").get("/").text


# --- readiness in scale-out ---------------------------------------------------------------------


def test_readiness_of_a_portal_with_workers_names_redis_and_their_absence(
    settings: Settings, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.prepare()
    (settings.data_dir / "portal.sqlite").write_bytes(migrated.read_bytes())
    app = build_app(settings)
    configure(app, settings=settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    monkeypatch.setattr(publish, "delayed", lambda: True)
    answer = app.test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["parts"]["database"] == "ok"
    assert answer.json["parts"]["queue"].startswith("Redis does not answer")
    assert answer.json["parts"]["workers"].startswith("No worker")
    assert answer.json["parts"]["rclone"].startswith("Unknown: no worker")
    database.session.remove()
    engine_of(app).dispose()
