"""What a queued job says about the one that it waits for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.services.actor import Actor
from portal.services.jobs import claims, control, places, reports
from portal.services.jobs.claims import Claim
from portal.services.jobs.reports import Ending
from portal.transfers.states import Operation
from tests.support.client import Browser
from tests.support.transfers import fill, stored

WRITES = "writes to the same folder"
CHANGES = "changes this job's source"
READS = "still reads what this job may replace or delete"

#: Source, destination and operation of a job that waits for one from `from` to `to`, and why.
IN_THE_WAY = [
    pytest.param("new", "to/in", Operation.COPY, WRITES, id="destination"),
    pytest.param("to/in", "away", Operation.COPY, CHANGES, id="source"),
    pytest.param(".", "../away", Operation.SYNC, CHANGES, id="folder above the source"),
    pytest.param("to/in", "away", Operation.MOVE, WRITES, id="source of a move"),
    pytest.param("to/a", "to/b", Operation.COPY, WRITES, id="both"),
]


@pytest.fixture
def bob(browser: Callable[..., Browser], worker_process: Callable[..., int]) -> Browser:
    """Sees a portal whose one worker serves the default pool."""
    worker_process()
    return browser("bob")


def start(job_id: int) -> None:
    assert claims.claim(job_id, "test:1", None, places.of_queued(job_id)) is not None


def reasons(bob: Browser) -> dict[int, Any]:
    return {job["id"]: job["waiting_for"] for job in bob.get("/api/v1/jobs").json["items"]}


def assert_waits(bob: Browser, job_id: int, other: int, why: str) -> None:
    """By a link to the other job, wherever the row of this one stands."""
    assert reasons(bob)[job_id] == {"reason": "destination", "job_id": other}
    for page in ("/jobs", f"/jobs/{job_id}", f"/api/jobs/{job_id}/progress"):
        answer = bob.get(page)
        assert f"Waits for job {other}, which {why}." in answer.text.replace("&#39;", "'")
        assert f'href="/jobs/{other}">job {other}</a>' in answer.text


@pytest.mark.parametrize(("source", "destination", "operation", "why"), IN_THE_WAY)
def test_row_says_what_the_other_job_is_about_to_change(
    root: Path,
    new_job: Any,
    bob: Browser,
    source: str,
    destination: str,
    operation: Operation,
    why: str,
) -> None:
    (root / "to/in").mkdir(parents=True)
    first = new_job(source=fill(root.parent / "from"), destination=root / "to")
    second = new_job(source=root / source, destination=root / destination, operation=operation)
    assert_waits(bob, second, first, why)
    start(first)
    assert_waits(bob, second, first, why)


def test_move_waits_for_a_copy_out_of_its_source(root: Path, new_job: Any, bob: Browser) -> None:
    source = fill(root / "from")
    first = new_job(source=source, destination=root / "backup")
    second = new_job(operation=Operation.MOVE, source=source, destination=root / "to")
    assert_waits(bob, second, first, READS)


def test_job_waits_for_a_move_out_of_its_source(root: Path, new_job: Any, bob: Browser) -> None:
    source = fill(root / "from")
    first = new_job(operation=Operation.MOVE, source=source, destination=root / "to")
    second = new_job(source=source, destination=root / "backup")
    assert_waits(bob, second, first, CHANGES)


@pytest.mark.parametrize(("source", "why"), [("from", WRITES), ("to", CHANGES)])
def test_row_says_that_the_other_job_is_paused(
    root: Path,
    new_job: Any,
    bob: Browser,
    app: Flask,
    user: Any,
    source: str,
    why: str,
) -> None:
    first = new_job(destination=root / "to")
    second = new_job(
        source=root / source, destination=root / ("to/in" if source == "from" else "backup")
    )
    start(first)
    with app.app_context():
        control.pause(first, actor=Actor(user("bob")))
    assert_waits(bob, second, first, f"{why} but is paused")
    with app.app_context():
        control.resume(first, actor=Actor(user("bob")))
    assert_waits(bob, second, first, why)


def test_row_says_that_no_worker_takes_the_other_job(
    root: Path, new_job: Any, bob: Browser, mode: str
) -> None:
    first = new_job(destination=root / "to", pool="site-b")
    second = new_job(destination=root / "to")
    # A portal of one process runs the jobs of all pools.
    no_worker = "" if mode == "one process" else " but has no worker"
    assert_waits(bob, second, first, WRITES + no_worker)
    start(first)
    assert_waits(bob, second, first, WRITES)


def test_job_that_waits_for_no_other_waits_for_a_slot(
    root: Path, new_job: Any, bob: Browser
) -> None:
    first, second = new_job(destination=root / "to"), new_job(destination=root / "to/in")
    third = new_job(destination=root / "elsewhere")
    start(first)
    assert reasons(bob) == {
        first: None,
        second: {"reason": "destination", "job_id": first},
        third: {"reason": "slot", "job_id": None},
    }
    reports.finish(Claim(first, stored(first).attempt), Ending(True, None, 0), None)
    assert "waits for a free slot" in bob.get(f"/api/jobs/{second}/progress").text
