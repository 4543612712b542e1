"""Cancel: at any moment, by who may, and true to what really moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from portal.cli import cli
from portal.db.instance_lock import DatabaseLock
from portal.db.session import session
from portal.errors import Conflict
from portal.services.actor import Actor
from portal.services.jobs import claims, control, reports, rescue
from portal.services.jobs.claims import Claim
from portal.services.jobs.reports import Ending
from portal.settings import Settings
from portal.transfers.states import JobStatus, Operation
from portal.worker.executors.in_process import InProcessExecutor
from tests.support.transfers import (
    MIB,
    Recorder,
    fill,
    history,
    miscounted,
    rclones,
    reading,
    scripted_rclone,
    status_of,
    stored,
    tell,
    tree,
)
from tests.support.waiting import wait_for

DONE = Ending(True, None, 0)


@pytest.fixture
def slow_job(new_job: Any, root: Path) -> Callable[..., int]:
    """A copy of 8 files of 1 MiB at 2 MiB/s."""

    def make(**options: Any) -> int:
        fill(root / "from", MIB, 8)
        job_id: int = new_job(source=root / "from", bandwidth_limit="2M", **options)
        return job_id

    return make


def test_queued_job_is_cancelled_at_once_and_never_runs(
    browser: Any, new_job: Any, execute: Any, events: Recorder, user: Any, root: Path
) -> None:
    job_id = new_job()
    answer = browser("bob").post(f"/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.location) == (303, f"/jobs/{job_id}")
    job = stored(job_id)
    assert (job.status, job.cancel_requested_by_id) == ("cancelled", user("bob").id)
    assert job.finished_at is not None
    execute(job_id)
    assert (status_of(job_id), (root / "to").exists()) == ("cancelled", False)
    assert events.statuses(job_id) == ["cancelled"]
    assert miscounted() == {}


def test_running_job_is_cancelling_until_its_rclone_is_dead(
    browser: Any,
    slow_job: Any,
    executor: InProcessExecutor,
    events: Recorder,
    root: Path,
    settings: Settings,
) -> None:
    job_id = slow_job()
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    bob = browser("bob")
    assert bob.post(f"/jobs/{job_id}/cancel").status_code == 303
    assert status_of(job_id) in ("cancelling", "cancelled")
    wait_for(lambda: status_of(job_id) == "cancelled")
    assert rclones(settings.data_dir) == []
    wait_for(lambda: events.statuses(job_id) == ["running", "cancelling", "cancelled"])
    assert history(job_id) == ["queued", "running", "cancelling", "cancelled"]
    job = stored(job_id)
    assert (job.error, job.error_lines) == (None, [])
    # The figures are rclone's last ones: every whole file, and what it had of the one in work.
    whole = sum(len(content) for content in tree(root / "to").values())
    assert whole <= job.bytes_transferred < 8 * MIB
    assert job.bytes_transferred >= MIB
    last = events.of(job_id)[-1].data
    assert (last["new_status"], last["bytes_transferred"]) == ("cancelled", job.bytes_transferred)
    assert not [name for name in tree(root / "to") if b".portal1-" in name]
    assert "Cancelled</strong>" in bob.get(f"/jobs/{job_id}").text
    assert miscounted() == {}


def test_stubborn_rclone_is_killed_before_the_job_counts_as_cancelled(
    browser: Any, new_job: Any, settings: Any, app: Flask, tmp_path: Path
) -> None:
    stubborn = scripted_rclone(
        tmp_path,
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            tell(1000, 5000)
            time.sleep(0.1)
        """,
    )
    job_id = new_job()
    slow_death = InProcessExecutor(
        settings.model_copy(update={"rclone": stubborn, "max_running_jobs": 1})
    )
    slow_death.start()
    try:
        wait_for(lambda: stored(job_id).bytes_transferred == 1000)
        browser("bob").post(f"/jobs/{job_id}/cancel")
        asked_at = time.monotonic()
        wait_for(lambda: status_of(job_id) == "cancelled")
        assert rclones(settings.data_dir) == []
        assert time.monotonic() - asked_at > 3
    finally:
        slow_death.stop()
    assert stored(job_id).bytes_transferred == 1000


def test_second_cancel_is_harmless(browser: Any, new_job: Any, events: Recorder) -> None:
    bob = browser("bob")
    for running in (True, False):
        job_id = new_job()
        if running:
            claims.claim(job_id, "test:1")
        assert [bob.post(f"/jobs/{job_id}/cancel").status_code for _ in range(3)] == [303] * 3
        wanted = "cancelling" if running else "cancelled"
        assert status_of(job_id) == wanted
        assert events.statuses(job_id).count(wanted) == 1
    assert miscounted() == {}


@pytest.mark.parametrize("succeeded", [True, False])
def test_job_that_has_ended_cannot_be_cancelled(
    browser: Any, new_job: Any, succeeded: bool
) -> None:
    job_id = new_job()
    job = claims.claim(job_id, "test:1")
    reports.finish(Claim(job_id, job.attempt), Ending(succeeded, None, 0), None)
    answer = browser("bob").post(f"/jobs/{job_id}/cancel")
    word = "completed" if succeeded else "failed"
    assert answer.status_code == 409
    assert f"This job has already {word}." in answer.text
    assert status_of(job_id) == word


def test_interrupted_job_can_be_cancelled_while_it_waits(browser: Any, new_job: Any) -> None:
    job_id = new_job(operation="sync")
    claims.claim(job_id, "gone:1")
    rescue.recover()
    assert status_of(job_id) == "interrupted"
    browser("bob").post(f"/jobs/{job_id}/cancel")
    assert history(job_id) == ["queued", "running", "interrupted", "cancelled"]
    assert miscounted() == {}


def test_job_whose_worker_died_while_cancelling_is_cancelled(
    browser: Any, new_job: Any, events: Recorder
) -> None:
    job_id = new_job()
    job = claims.claim(job_id, "gone:1")
    tell(job_id, job.attempt, reading(500, 1000))
    browser("bob").post(f"/jobs/{job_id}/cancel")
    rescue.recover()
    job = stored(job_id)
    assert (job.status, job.bytes_transferred, job.speed_bytes) == ("cancelled", 500, 0)
    wait_for(lambda: events.statuses(job_id) == ["running", "cancelling", "cancelled"])


def test_cancelled_job_shows_cancelled_also_when_rclone_had_just_finished(
    browser: Any, new_job: Any
) -> None:
    job_id = new_job()
    job = claims.claim(job_id, "test:1")
    browser("bob").post(f"/jobs/{job_id}/cancel")
    reports.finish(Claim(job_id, job.attempt), DONE, reading(1000, 1000))
    assert (status_of(job_id), stored(job_id).bytes_transferred) == ("cancelled", 1000)


def test_cancel_against_completion_ends_in_one_true_state(
    app: Flask, new_job: Any, events: Recorder, user: Any, root: Path
) -> None:
    alice = user("alice")
    fill(root / "from")
    for _ in range(40):
        job_id = new_job(source=root / "from")
        attempt = claims.claim(job_id, "test:1").attempt
        start = threading.Barrier(2)
        answers: list[str] = []

        def cancel(job_id: int = job_id, start: Any = start, answers: Any = answers) -> None:
            start.wait()
            with app.app_context():
                try:
                    answers.append(control.cancel(job_id, actor=Actor(alice)).status)
                except Conflict:
                    answers.append("conflict")

        asking = threading.Thread(target=cancel)
        asking.start()
        start.wait()
        reports.finish(Claim(job_id, attempt), DONE, reading(9, 9))
        asking.join()
        end = status_of(job_id)
        assert (end, answers) in (
            (JobStatus.COMPLETED, ["conflict"]),
            (JobStatus.CANCELLED, ["cancelling"]),
        )
        told = events.statuses(job_id)
        assert told == history(job_id)[1:]
        assert sum(status in ("completed", "cancelled", "failed") for status in told) == 1
        seqs = [event.data["seq"] for event in events.of(job_id)]
        assert seqs == list(range(1, len(seqs) + 1))
    assert miscounted() == {}


def test_cancel_against_the_claim_never_loses_either(
    app: Flask, new_job: Any, user: Any, root: Path
) -> None:
    alice = user("alice")
    fill(root / "from")
    for _ in range(20):
        job_id = new_job(source=root / "from")
        start = threading.Barrier(2)

        def cancel(job_id: int = job_id, start: Any = start) -> None:
            start.wait()
            with app.app_context():
                control.cancel(job_id, actor=Actor(alice))

        asking = threading.Thread(target=cancel)
        asking.start()
        start.wait()
        job = claims.claim(job_id, "test:1")
        asking.join()
        assert status_of(job_id) == ("cancelled" if job is None else "cancelling")
    assert miscounted() == {}


def test_only_the_owner_or_an_admin_cancels(browser: Any, new_job: Any) -> None:
    first, second = new_job(), new_job()
    for name in ("bella", "charlie"):
        assert browser(name).post(f"/jobs/{first}/cancel").status_code == 403
    bob = browser("bob")
    assert bob.client.post(f"/jobs/{first}/cancel").status_code == 400  # no token
    assert bob.get(f"/jobs/{first}/cancel").status_code == 405
    assert browser().client.post(f"/jobs/{first}/cancel").status_code in (302, 400, 401)
    assert status_of(first) == "queued"
    assert bob.post(f"/jobs/{first}/cancel").status_code == 303
    assert browser("alice").post(f"/jobs/{second}/cancel").status_code == 303
    assert (status_of(first), status_of(second)) == ("cancelled", "cancelled")


def test_event_of_a_cancel_names_who_asked(browser: Any, new_job: Any) -> None:
    job_id = new_job()
    alice = browser("alice")
    alice.post(f"/jobs/{job_id}/cancel")
    assert "was cancelled by alice" in alice.get("/").text
    assert "job.cancel" in alice.get("/audit").text


@pytest.fixture
def stored_jobs(new_job: Callable[..., int], root: Path) -> dict[str, int]:
    """What stands in a backup that was made of a running portal."""
    numbers = {
        operation: new_job(operation=operation, destination=root / operation)
        for operation in (Operation.SYNC, Operation.MOVE, Operation.COPY)
    }
    numbers["preview"] = new_job(operation=Operation.SYNC, destination=root / "s", dry_run=True)
    for operation in (Operation.MOVE, Operation.COPY):
        name = f"running {operation}"
        numbers[name] = new_job(
            operation=operation, source=fill(root / name), destination=root / "away" / operation
        )
        claims.claim(numbers[name], "test:1")
    session.remove()
    return numbers


def cancel_queued(settings: Settings, root: Path, *options: str) -> str:
    done = CliRunner().invoke(
        cli,
        ["cancel-queued", *options],
        env={"PORTAL_DATA_DIR": str(settings.data_dir), "PORTAL_TRANSFER_ROOTS": str(root)},
        obj={},
    )
    return done.output


@pytest.mark.one_process
@pytest.mark.parametrize("options", [[], ["--all"]], ids=["deleting", "all"])
def test_restored_portal_can_cancel_what_waited_in_the_backup(
    settings: Settings, stored_jobs: dict[str, int], root: Path, options: list[str]
) -> None:
    """Before it starts, when it would run all of it."""
    output = cancel_queued(settings, root, *options)
    cancelled = ["sync", "move"] + (["copy", "preview", "running copy"] if options else [])
    numbers = [stored_jobs[name] for name in cancelled]
    assert output == f"Cancelled {len(numbers)} jobs: {', '.join(map(str, numbers))}.\n"
    statuses = {name: status_of(job_id) for name, job_id in stored_jobs.items()}
    assert [name for name, status in statuses.items() if status == "cancelled"] == cancelled
    assert statuses["running move"] == "interrupted"
    if not options:
        assert statuses["running copy"] == "queued"


@pytest.mark.one_process
def test_queued_job_that_begins_or_ends_meanwhile_is_left_and_the_others_are_cancelled(
    new_job: Any, user: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [new_job(destination=root / f"to {number}") for number in range(4)]
    _, begins, ends, _ = ids
    real = control._cancel_if_queued

    def begun_before(job_id: int, actor: Actor) -> bool:
        if job_id == ids[0]:
            for other in (begins, ends):
                assert claims.claim(other, "test:1") is not None
            reports.finish(Claim(ends, 1), Ending(True, None, 0), None)
        return real(job_id, actor)

    monkeypatch.setattr(control, "_cancel_if_queued", begun_before)
    assert control.cancel_queued(everything=True, actor=Actor(user("bob"))) == [ids[0], ids[3]]
    statuses = [str(status_of(job_id)) for job_id in ids]
    assert statuses == ["cancelled", "running", "completed", "cancelled"]


@pytest.mark.one_process
def test_running_jobs_of_a_running_portal_are_not_cancelled_with_those_that_wait(
    settings: Settings, stored_jobs: dict[str, int], root: Path
) -> None:
    DatabaseLock(settings.database_url, alone=True).acquire()
    cancel_queued(settings, root, "--all")
    statuses = {name: status_of(job_id) for name, job_id in stored_jobs.items()}
    assert statuses == {
        name: "running" if name.startswith("running") else "cancelled" for name in stored_jobs
    }
