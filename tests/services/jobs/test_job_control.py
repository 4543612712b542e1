"""While a job runs it is paused, goes on, goes at another speed; before that it has a place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select

from portal.db.clock import now
from portal.db.session import session
from portal.engine.process.processes import inspect
from portal.models import AuditEntry, Job
from portal.services.jobs import speeds
from portal.settings import Settings
from portal.transfers.states import JobStatus
from portal.worker import Worker
from tests.support.applications import engine_of
from tests.support.client import Browser
from tests.support.job_pages import errors_in
from tests.support.transfers import (
    MIB,
    Recorder,
    environments,
    fill,
    run_job,
    status_of,
    stored,
    tree,
)
from tests.support.waiting import wait_for


@pytest.fixture
def bob(browser: Callable[..., Browser]) -> Browser:
    return browser("bob")


class Running:
    """A job in a thread of its own, with a real rclone."""

    def __init__(self, settings: Settings, job: int) -> None:
        self.job, self.data = job, settings.data_dir
        self.worker = Worker(settings, "test:1", grace=2.0)
        self.thread = threading.Thread(target=run_job, args=(self.worker, job))

    def start(self) -> Running:
        self.thread.start()
        wait_for(lambda: stored(self.job).bytes_transferred)
        return self

    @property
    def states(self) -> set[str]:
        """Of the processes of its rclone, as /proc shows them: T stands still."""
        found = set()
        for pid, told in environments():
            mine = f"PORTAL_DATA={self.data}".encode() in told and b"PORTAL_JOB_ID=1" in told
            if mine and inspect(pid) is not None:
                text = Path(f"/proc/{pid}/stat").read_text()
                found.add(text[text.rindex(")") + 2])
        return found

    def end(self, seconds: float = 20) -> JobStatus:
        self.thread.join(seconds)
        assert not self.thread.is_alive()
        return status_of(self.job)


@pytest.fixture
def running(
    app: Flask, settings: Settings, root: Path, new_job: Callable[..., int]
) -> Iterator[Callable[..., Running]]:
    begun: list[Running] = []

    def run(**options: Any) -> Running:
        source = fill(root / "from", 3 * MIB, files=4)
        options = {"source": source, "bandwidth_limit": "1M"} | options
        begun.append(Running(settings, new_job(**options)))
        return begun[-1].start()

    yield run
    for one in begun:
        one.worker.stop()
        one.thread.join(20)


_ENTRIES = select(AuditEntry).order_by(AuditEntry.id)


def actions() -> list[str]:
    try:
        return [entry.action for entry in session.scalars(_ENTRIES)]
    finally:
        session.remove()


def test_paused_job_stands_still_and_goes_on_to_the_same_end(
    bob: Browser, root: Path, running: Callable[..., Running], events: Recorder
) -> None:
    job = running()
    assert bob.post("/jobs/1/pause").status_code == 303
    wait_for(lambda: job.states == {"T"})
    row = bob.get("/api/jobs/1/progress").text
    assert ">Paused<" in row
    assert ">Resume<" in row
    assert (stored(1).status, stored(1).speed_bytes) == ("running", 0)
    time.sleep(1.5)  # longer than any of its looks and tellings: what it did before is told
    before = stored(1).bytes_transferred
    time.sleep(1.5)
    assert job.states == {"T"}
    assert stored(1).bytes_transferred == before
    assert stored(1).speed_bytes == 0

    bob.post("/jobs/1/bandwidth", {"bandwidth_limit": ""})
    assert bob.post("/jobs/1/resume").status_code == 303
    wait_for(lambda: "T" not in job.states)
    assert job.end() == JobStatus.COMPLETED
    assert tree(root / "to") == tree(root / "from")
    assert stored(1).paused_at is None
    assert [name for name in actions() if name.startswith("job.")][1:] == [
        "job.pause",
        "job.limit",
        "job.resume",
    ]


def test_pause_and_its_end_are_told_to_everyone_at_once(
    bob: Browser, running: Callable[..., Running], events: Recorder
) -> None:
    running()
    bob.post("/jobs/1/pause")
    bob.post("/jobs/1/resume")
    told = events.of(1, "job_changed")
    assert [event.data["paused"] for event in told] == [True, False]
    assert [event.data["display"]["status"] for event in told] == ["Paused", "Running"]
    assert {event.room for event in told} == {"topic:status_change"}
    numbers = [event.data["seq"] for event in events.of(1)]
    assert numbers == list(range(1, len(numbers) + 1)), "no gap, and in this order"


def test_pausing_twice_and_resuming_twice_is_harmless(
    bob: Browser, running: Callable[..., Running], events: Recorder
) -> None:
    running()
    codes = [bob.post(f"/jobs/1/{act}").status_code for act in ("pause", "pause", "resume")]
    codes.append(bob.post("/jobs/1/resume").status_code)
    assert codes == [303] * 4
    assert len(events.of(1, "job_changed")) == 2


def test_paused_job_can_be_cancelled(bob: Browser, running: Callable[..., Running]) -> None:
    job = running()
    bob.post("/jobs/1/pause")
    wait_for(lambda: job.states == {"T"})
    bob.post("/jobs/1/cancel")
    assert job.end(8) == JobStatus.CANCELLED
    assert job.states == set()
    assert stored(1).paused_at is None


def test_orderly_stop_gives_a_paused_job_back_and_it_stays_paused(
    bob: Browser,
    settings: Settings,
    running: Callable[..., Running],
) -> None:
    job = running()
    bob.post("/jobs/1/pause")
    wait_for(lambda: job.states == {"T"})
    job.worker.stop()
    assert job.end(8) == JobStatus.QUEUED
    assert stored(1).paused_at is not None
    assert ">Resume<" in bob.get("/jobs/1").text

    assert not run_job(Worker(settings, "test:1"), 1), "it takes no slot while it is paused"
    bob.post("/jobs/1/bandwidth", {"bandwidth_limit": "off"})
    bob.post("/jobs/1/resume")
    again = Running(settings, 1)
    again.thread.start()
    assert again.end() == JobStatus.COMPLETED


def test_bandwidth_changes_while_it_runs(bob: Browser, running: Callable[..., Running]) -> None:
    job = running(bandwidth_limit="300k")
    assert bob.post("/jobs/1/bandwidth", {"bandwidth_limit": "off"}).status_code == 303
    # 12 MiB at 300 KiB/s take 40 s.
    assert job.end(15) == JobStatus.COMPLETED
    assert stored(1).bandwidth_limit == "off"


def test_timetable_replaces_a_rate_while_it_runs(
    bob: Browser, running: Callable[..., Running], events: Recorder
) -> None:
    job = running(bandwidth_limit="2M")
    bob.post("/jobs/1/bandwidth", {"bandwidth_limit": "00:00,100k 23:59,100k"})
    told = events.of(1, "job_progress")
    wait_for(lambda: 0 < events.of(1, "job_progress")[-1].data["speed_bytes"] < 250_000, 20)
    assert len(events.of(1, "job_progress")) > len(told)
    assert stored(1).bandwidth_limit == "00:00,100k 23:59,100k"
    assert "100k" in bob.get("/jobs/1").text
    bob.post("/jobs/1/cancel")
    assert job.end() == JobStatus.CANCELLED


def test_wrong_limit_is_refused_beside_its_field_and_changes_nothing(
    bob: Browser, new_job: Callable[..., int]
) -> None:
    new_job(bandwidth_limit="1M")
    for wrong in (
        "fast",
        "100000",
        "0",
        "--rc",
        "1M\n2M",
        "08:00,1M 08:00,2M",
        "x" * 500,
        "<script>",
    ):
        answer = bob.post("/jobs/1/bandwidth", {"bandwidth_limit": wrong})
        assert (answer.status_code, list(errors_in(answer.text))) == (422, ["bandwidth_limit"])
        assert "<script>" not in answer.text.replace('<script type="module"', "")
    assert stored(1).bandwidth_limit == "1M"


def test_what_does_not_run_cannot_be_paused_and_what_has_ended_not_be_changed(
    bob: Browser, new_job: Callable[..., int]
) -> None:
    new_job()
    assert bob.post("/jobs/1/pause").status_code == 409
    assert bob.post("/jobs/1/resume").status_code == 303
    assert bob.post("/jobs/1/bandwidth", {"bandwidth_limit": "5M"}).status_code == 303
    for status in ("completed", "failed", "cancelled", "cancelling"):
        session.get_one(Job, 1).status = JobStatus(status)
        session.commit()
        for act in ("pause", "resume", "bandwidth"):
            assert bob.post(f"/jobs/1/{act}").status_code == 409, (status, act)


def test_only_its_owner_and_admins_steer_a_job(
    browser: Callable[..., Browser], new_job: Callable[..., int]
) -> None:
    new_job("bob")
    session.get_one(Job, 1).status = JobStatus.RUNNING
    session.commit()
    for name, code in (("bella", 403), ("charlie", 403), ("alice", 303)):
        person = browser(name)
        page = person.get("/jobs/1").text
        for act in ("pause", "bandwidth", "resume"):
            assert person.post(f"/jobs/1/{act}", {"bandwidth_limit": "1M"}).status_code == code
        assert ("/jobs/1/bandwidth" in page) == (code == 303)


def test_program_pauses_limits_and_resumes(bob: Browser, new_job: Callable[..., int]) -> None:
    new_job()
    session.get_one(Job, 1).status = JobStatus.RUNNING
    session.commit()
    token = {"X-CSRFToken": bob.token()}

    def ask(act: str, **body: Any) -> Any:
        options = {"json": body} if body else {}
        return bob.client.post(f"/api/v1/jobs/1/{act}", headers=token, **options)

    assert ask("pause").json["paused"] is True
    assert ask("bandwidth", bandwidth_limit="8:00,5M").json["bandwidth_limit"] == "08:00,5M"
    assert ask("bandwidth", bandwidth_limit="10 MB/s").json["bandwidth_limit"] == "10000000B"
    assert list(ask("bandwidth", bandwidth_limit="100000").json["errors"]) == ["bandwidth_limit"]
    assert list(ask("bandwidth", bandwidth_limit="fast").json["errors"]) == ["bandwidth_limit"]
    assert ask("resume").json["paused"] is False


# --- the queue ----------------------------------------------------------------------------------


def test_each_queued_job_shows_its_queue_position_to_everyone(
    browser: Callable[..., Browser],
    new_job: Callable[..., int],
    worker_process: Callable[..., int],
) -> None:
    worker_process()
    for _ in range(4):
        new_job()
    page = browser("charlie").get("/jobs").text
    places = [page.index(words) for words in ("4th in", "3rd in", "2nd in", "next in the queue")]
    assert places == sorted(places), "the newest stands on top"
    browser("bob").post("/jobs/1/cancel")
    assert "next in the queue" in browser("charlie").get("/jobs/2").text
    found = [browser("bob").get(f"/api/v1/jobs/{n}").json["queue_place"] for n in (1, 2, 4)]
    assert found == [None, 1, 3]


@pytest.mark.one_process  # tests/services/jobs/test_pools.py tells of workers
def test_queued_job_says_what_it_waits_for(bob: Browser, new_job: Callable[..., int]) -> None:
    new_job()
    page = bob.get("/jobs").text
    assert page.count(">waits for a free slot<") == 1
    session.get_one(Job, 1).paused_at = now()
    session.commit()
    assert ">waits to be resumed<" in bob.get("/jobs/1").text
    bob.post("/jobs/1/cancel")
    assert "job-waits" not in bob.get("/jobs/1").text


def test_queue_positions_are_counted_in_each_pool(
    browser: Callable[..., Browser], new_job: Callable[..., int]
) -> None:
    for number in range(1, 5):
        new_job()
        session.get_one(Job, number).pool = "fast" if number in (2, 4) else None
        session.commit()
    bob = browser("bob")
    places = [bob.get(f"/api/v1/jobs/{number}").json["queue_place"] for number in range(1, 5)]
    assert places == [1, 1, 2, 2]


def test_page_of_queued_jobs_reads_the_queue_once(
    app: Flask,
    bob: Browser,
    new_job: Callable[..., int],
    worker_process: Callable[..., int],
) -> None:
    worker_process()
    for _ in range(12):
        new_job()
    asked: list[str] = []
    engine = engine_of(app)

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "WITH RECURSIVE heads" in statement:
            asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    bob.get("/jobs")
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == 1


def test_paused_in_a_row_of_an_old_job_breaks_nothing(
    bob: Browser, new_job: Callable[..., int]
) -> None:
    new_job()
    row = session.get_one(Job, 1)
    row.status, row.paused_at = JobStatus.COMPLETED, now()
    session.commit()
    assert ">Paused<" not in bob.get("/jobs/1").text


def test_pause_is_zero_in_the_curve_and_no_gap(
    bob: Browser, running: Callable[..., Running]
) -> None:
    job = running()
    wait_for(lambda: any(curve()))
    bob.post("/jobs/1/pause")
    wait_for(lambda: curve()[-2:] == [0, 0])
    bob.post("/jobs/1/bandwidth", {"bandwidth_limit": ""})
    bob.post("/jobs/1/resume")
    assert job.end() == JobStatus.COMPLETED
    points = curve()
    first = next(at for at, point in enumerate(points) if point)
    assert None not in points[first:]
    assert 0 in points[first:]


def curve() -> list[int | None]:
    found = speeds.of(stored(1))
    session.remove()
    return found.points if found else []
