"""Pools of workers: a job may name one, the form offers those that exist, and a job that no living
worker can take says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from portal.db.session import database_time, session
from portal.models import WorkerProcess
from portal.services import workers
from portal.settings import Settings
from tests.support.applications import configure
from tests.support.client import Browser
from tests.support.transfers import Recorder, stored


@pytest.fixture
def scale_out(app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The same application as of a portal that leaves its jobs to workers."""
    configure(app, settings=settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    monkeypatch.setattr(workers, "_MEMORY", -1.0)
    return app


@pytest.fixture
def site_b(worker_process: Callable[..., int]) -> int:
    return worker_process(name="siteb:1", pools=("site-b",))


def expire_worker(worker: int) -> None:
    silent = update(WorkerProcess).where(WorkerProcess.id == worker)
    session.execute(silent.values(heartbeat_at=database_time(ago=60)))
    session.commit()
    session.remove()


def test_form_offers_the_pools_that_exist_and_a_job_keeps_the_one_it_names(
    scale_out: Flask, browser: Any, site_b: int, job_fields: dict[str, Any]
) -> None:
    bob: Browser = browser("bob")
    assert '<option value="site-b">Pool site-b</option>' in bob.get("/jobs/new").text
    answer = bob.post("/jobs", {**job_fields, "pool": "site-b"})

    assert answer.status_code == 303
    assert stored(1).pool == "site-b"
    assert "<dt>Pool</dt><dd>site-b</dd>" in bob.get("/jobs/1").text
    assert bob.get("/api/v1/jobs/1").json["pool"] == "site-b"
    bob.post("/jobs/1/cancel")
    assert bob.post("/jobs/1/retry").status_code == 303
    assert stored(2).pool == "site-b"


@pytest.mark.parametrize("name", ["", "default"])
def test_job_of_no_special_pool_names_none(
    scale_out: Flask, browser: Any, site_b: int, job_fields: dict[str, Any], name: str
) -> None:
    assert browser("bob").post("/jobs", {**job_fields, "pool": name}).status_code == 303
    assert stored(1).pool is None


def test_form_has_no_such_question_where_there_is_nothing_to_choose(
    scale_out: Flask, browser: Any, worker_process: Callable[..., int]
) -> None:
    worker_process()  # of the default pool
    assert 'name="pool"' not in browser("bob").get("/jobs/new").text


def test_pool_that_nobody_serves_is_refused_beside_its_field(
    scale_out: Flask, browser: Any, site_b: int, job_fields: dict[str, Any]
) -> None:
    bob: Browser = browser("bob")
    answer = bob.post("/jobs", {**job_fields, "pool": "<b>moon</b>"})

    assert answer.status_code == 422
    assert "No worker serves this pool." in answer.text
    assert "<b>moon" not in answer.text


def test_program_names_a_pool_and_is_told_of_one_that_is_not_there(
    scale_out: Flask, browser: Any, site_b: int, job_fields: dict[str, Any]
) -> None:
    bob: Browser = browser("bob")
    headers = {"X-CSRFToken": bob.token()}
    made = bob.client.post("/api/v1/jobs", json={**job_fields, "pool": "site-b"}, headers=headers)
    refused = bob.client.post("/api/v1/jobs", json={**job_fields, "pool": "moon"}, headers=headers)

    assert (made.status_code, made.json["pool"]) == (201, "site-b")
    assert refused.status_code == 422
    assert list(refused.json["errors"]) == ["pool"]


def test_job_without_a_living_worker_says_so_on_its_row(
    scale_out: Flask, browser: Any, site_b: int, new_job: Any
) -> None:
    new_job()
    new_job(pool="site-b")
    charlie: Browser = browser("charlie")
    page = charlie.get("/jobs").text
    assert page.count(">no worker is taking jobs<") == 1
    assert page.count(">waits for a free slot in pool site-b<") == 1
    assert page.count("next in the queue") == 2, "each pool has a queue of its own"

    browser("alice").post(f"/workers/{site_b}/pause")
    assert "no worker in pool site-b is taking jobs" in charlie.get("/jobs").text
    browser("alice").post(f"/workers/{site_b}/resume")
    assert "no worker in pool site-b" not in charlie.get("/jobs").text
    expire_worker(site_b)
    assert "no worker in pool site-b is taking jobs" in charlie.get("/jobs").text
    assert "Pool site-b – no workers right now" in browser("bob").get("/jobs/new").text


@pytest.mark.one_process
def test_portal_of_one_process_has_no_pools_to_speak_of(browser: Any, new_job: Any) -> None:
    new_job()
    assert "no worker" not in browser("charlie").get("/jobs").text
    assert 'name="pool"' not in browser("bob").get("/jobs/new").text


def test_pages_fetch_again_when_a_pool_gets_its_first_worker_or_loses_its_last(
    scale_out: Flask, site_b: int, worker_process: Callable[..., int], events: Recorder
) -> None:
    def refreshed() -> int:
        workers.watch()
        told = [event for event in events.all if event.name == "refresh"]
        return len([event for event in told if event.room != "role:admin"])

    assert refreshed() == 0
    second = worker_process(name="siteb:2", pools=("site-b",))
    expire_worker(site_b)
    assert refreshed() == 0, "the pool is served as before"
    expire_worker(second)
    assert refreshed() == 2, "not only admins, who hear of each worker, are told"
    worker_process()
    assert refreshed() == 4
    assert refreshed() == 4
