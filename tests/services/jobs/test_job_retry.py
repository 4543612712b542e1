"""Retry: a new job that points back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from portal.models import Job
from portal.services.actor import Actor
from portal.services.jobs import claims, control, create, reports, rescue
from portal.services.jobs.claims import Claim
from portal.services.jobs.reports import Ending
from portal.transfers.states import JobStatus
from tests.support.transfers import history, miscounted, status_of, stored

FAILED = Ending(False, "The destination disk is full.", 1)


@pytest.fixture
def ended(new_job: Any) -> Callable[..., int]:
    """A job that has come to this status by the ways of the portal."""

    def make(status: str, **options: Any) -> int:
        job_id: int = new_job(**options)
        job = claims.claim(job_id, "gone:1")
        assert job is not None
        if status == "interrupted":
            rescue.recover()
        else:
            ending = Ending(True, None, 0) if status == "completed" else FAILED
            reports.finish(Claim(job_id, job.attempt), ending, None)
        assert status_of(job_id) == status
        return job_id

    return make


def test_retry_of_a_failed_job_makes_an_equal_one_that_points_back(
    browser: Any, ended: Any, execute: Any
) -> None:
    old_id = ended("failed", name="Weekly", bandwidth_limit="10M", dry_run=True)
    bob = browser("bob")
    answer = bob.post(f"/jobs/{old_id}/retry")
    assert (answer.status_code, answer.location) == (303, "/jobs/2")
    old, new = stored(old_id), stored(2)
    for name in ("name", "operation", "source", "destination", "bandwidth_limit", "dry_run"):
        assert getattr(new, name) == getattr(old, name)
    assert (new.retry_of_id, new.status, new.attempt, new.error) == (old_id, "queued", 0, None)
    assert (old.status, history(old_id)) == ("failed", ["queued", "running", "failed"])
    assert f'<a href="/jobs/{old_id}">job {old_id}</a>' in bob.get("/jobs/2").text
    execute(2)
    assert status_of(2) == "completed"
    assert miscounted() == {}


def test_new_job_belongs_to_who_asked(browser: Any, ended: Any, user: Any) -> None:
    ended("failed")
    assert browser("alice").post("/jobs/1/retry").status_code == 303
    assert stored(2).owner_id == user("alice").id


def test_second_click_finds_the_first_ones_job(browser: Any, ended: Any, execute: Any) -> None:
    ended("failed")
    bob = browser("bob")
    assert {bob.post("/jobs/1/retry").location for _ in range(3)} == {"/jobs/2"}
    execute(2)
    assert bob.post("/jobs/1/retry").location == "/jobs/3"


def test_many_clicks_at_once_make_one_job(app: Flask, ended: Any, user: Any) -> None:
    old_id = ended("failed")
    actor, made = user("bob"), []
    start = threading.Barrier(6)

    def click() -> None:
        old = stored(old_id)
        start.wait()
        with app.app_context():
            made.append(create.retry(old, actor=Actor(actor)).id)

    clicks = [threading.Thread(target=click) for _ in range(6)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert made == [2] * 6
    assert miscounted() == {}


def test_cancelled_job_can_be_retried(browser: Any, new_job: Any) -> None:
    bob = browser("bob")
    bob.post(f"/jobs/{new_job()}/cancel")
    assert bob.post("/jobs/1/retry").location == "/jobs/2"


def test_interrupted_sync_waits_for_a_person_and_stays_what_it_was(
    browser: Any, ended: Any
) -> None:
    job_id = ended("interrupted", operation="sync")
    bob = browser("bob")
    page = bob.get("/jobs/1").text
    assert "It deletes files, so it is not resumed automatically." in page
    assert "The figures are those of its last report; more may have been done." in page
    assert bob.post("/jobs/1/retry").location == "/jobs/2"
    assert status_of(job_id) == "interrupted"


@pytest.mark.parametrize(
    ("operation", "paused"), [("sync", False), ("move", False), ("copy", True)]
)
def test_only_what_begins_again_by_itself_is_still_paused_after_an_interruption(
    new_job: Any, user: Any, operation: str, paused: bool
) -> None:
    job_id = new_job(operation=operation)
    job = claims.claim(job_id, "gone:1")
    assert job is not None
    control.pause(job_id, actor=Actor(user("bob")))
    reports.mark_interrupted(Claim(job_id, job.attempt), "The worker lost touch.", None)
    assert status_of(job_id) == "interrupted"
    assert (stored(job_id).paused_at is not None) is paused


@pytest.mark.parametrize("status", ["queued", "running", "cancelling", "completed"])
def test_job_that_is_open_or_done_cannot_be_retried(
    browser: Any, new_job: Any, ended: Any, status: str
) -> None:
    bob = browser("bob")
    if status == "completed":
        ended("completed")
    else:
        new_job()
        if status != "queued":
            claims.claim(1, "test:1")
        if status == "cancelling":
            bob.post("/jobs/1/cancel")
    answer = bob.post("/jobs/1/retry")
    assert answer.status_code == 409
    assert f"A {status} job cannot be retried." in answer.text
    assert status_of(1) == JobStatus(status)
    assert bob.get("/jobs/2").status_code == 404


def test_only_the_owner_or_an_admin_retries(browser: Any, ended: Any) -> None:
    ended("failed")
    for name in ("bella", "charlie"):
        assert browser(name).post("/jobs/1/retry").status_code == 403
    bob = browser("bob")
    assert bob.client.post("/jobs/1/retry").status_code == 400  # no token
    assert bob.get("/jobs/1/retry").status_code == 405
    assert bob.get("/jobs/2").status_code == 404


def test_click_in_a_row_gets_the_new_row(browser: Any, ended: Any) -> None:
    ended("failed")
    answer = browser("bob").post("/jobs/1/retry", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert 'id="job-2"' in answer.text


def test_job_made_again_starts_from_blank_figures(ended: Any, browser: Any) -> None:
    ended("failed")
    browser("bob").post("/jobs/1/retry")
    new: Job = stored(2)
    assert (new.bytes_transferred, new.percent, new.error_lines, new.interruptions) == (
        0,
        None,
        [],
        0,
    )
