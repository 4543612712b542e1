"""What leaves for the browsers of a job: fields, pace, order."""

from __future__ import annotations

import itertools
import re
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.errors import Conflict
from portal.services.actor import Actor
from portal.services.jobs import claims, control, reports
from portal.services.jobs.claims import Claim
from portal.services.jobs.reports import Ending
from portal.settings import Settings
from tests.support.transfers import MIB, Recorder, fill, reading, stored, tell

DISPLAY = {
    *("phase", "percent", "bytes", "speed", "allowed", "eta", "files", "result", "trouble"),
    "valuetext",
}
PHASES = ("scanning", "transferring", "checking", "finishing")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_percent(value: object) -> bool:
    return value is None or (
        isinstance(value, int | float) and 0 <= value <= 100 and round(value, 1) == value
    )


def assert_progress_of_the_contract(data: dict[str, Any]) -> None:
    for name in ("job_id", "bytes_transferred", "speed_bytes", "files_transferred", "files_total"):
        assert is_count(data[name]), name
    for name in ("total_bytes", "eta_seconds", "allowed_bytes"):
        assert data[name] is None or is_count(data[name]), name
    assert is_percent(data["percent"])
    assert data["total_bytes"] is not None or data["percent"] is None
    assert data["phase"] in PHASES
    assert is_count(data["seq"])
    assert STAMP.fullmatch(data["timestamp"])
    assert data["display"].keys() == DISPLAY
    assert all(isinstance(word, str) for word in data["display"].values())


def assert_change_of_the_contract(data: dict[str, Any]) -> None:
    assert is_count(data["job_id"])
    assert is_count(data["seq"])
    assert is_count(data["bytes_transferred"])
    assert data["total_bytes"] is None or is_count(data["total_bytes"])
    assert is_percent(data["percent"])
    assert STAMP.fullmatch(data["timestamp"])
    assert data["old_status"] != data["new_status"]
    assert data["display"].keys() == DISPLAY | {"status", "icon", "tone"}


@pytest.fixture
def told(new_job: Any, execute: Any, events: Recorder, root: Path) -> list[Any]:
    """All events of one real copy of some 4 s."""
    fill(root / "from", MIB, 8)
    job_id = new_job(source=root / "from", bandwidth_limit="2M")
    execute(job_id)
    return events.of(job_id)


def test_events_of_a_real_transfer_keep_the_contract(told: list[Any]) -> None:
    names = [event.name for event in told]
    assert names[:2] == ["job_created", "job_status_change"]
    assert names[-1] == "job_status_change"
    progress = [event for event in told if event.name == "job_progress"]
    changes = [event.data for event in told if event.name == "job_status_change"]
    assert len(progress) >= 2
    for event in progress:
        assert_progress_of_the_contract(event.data)
        assert event.room == "topic:progress"
    for data in changes:
        assert_change_of_the_contract(data)
    assert [(data["old_status"], data["new_status"]) for data in changes] == [
        ("queued", "running"),
        ("running", "completed"),
    ]
    # One number for all that is told of the job.
    assert [event.data["seq"] for event in told] == list(range(1, len(told) + 1))
    # At most one a second.
    times = [event.at for event in progress]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.99
    percents = [event.data["percent"] or 0 for event in progress]
    assert percents == sorted(percents)
    assert all(percent < 100 for percent in percents)
    assert (changes[-1]["percent"], changes[-1]["bytes_transferred"]) == (100.0, 8 * MIB)
    stamps = [event.data["timestamp"] for event in told]
    assert stamps == sorted(stamps)


def test_figures_that_are_not_known_are_null(new_job: Any, events: Recorder) -> None:
    job_id = new_job()
    attempt = claims.claim(job_id, "test:1").attempt
    unknown = reading(0, None, speed_bytes=0, eta_seconds=None, phase="scanning", files_listed=7)
    tell(job_id, attempt, unknown)
    data = events.of(job_id, "job_progress")[0].data
    assert_progress_of_the_contract(data)
    assert (data["total_bytes"], data["percent"], data["eta_seconds"]) == (None, None, None)
    assert data["display"]["bytes"] == "Scanning… 7 files found"
    assert data["display"]["speed"] == "–"


def test_failure_carries_the_figures_so_far(new_job: Any, events: Recorder) -> None:
    job_id = new_job()
    attempt = claims.claim(job_id, "test:1").attempt
    reports.finish(Claim(job_id, attempt), Ending(False, "Broken.", 1), reading(300, 1000))
    data = events.of(job_id)[-1].data
    assert_change_of_the_contract(data)
    assert (data["new_status"], data["bytes_transferred"], data["percent"]) == ("failed", 300, 30.0)


def test_events_of_a_job_leave_in_order_whoever_causes_them(
    app: Flask, new_job: Any, events: Recorder, user: Any, root: Path
) -> None:
    fill(root / "from")
    ids = [new_job(source=root / "from") for _ in range(4)]
    attempts = {job_id: claims.claim(job_id, "test:1").attempt for job_id in ids}
    alice = user("alice")
    events.hold_up = 0.02

    def report(job_id: int) -> None:
        for done in range(15):
            tell(job_id, attempts[job_id], reading(done, 100))
        reports.finish(Claim(job_id, attempts[job_id]), Ending(True, None, 0), None)

    def cancel(job_id: int) -> None:
        # Too late is an answer too: the reports may have come to their end first.
        with app.app_context(), suppress(Conflict):
            control.cancel(job_id, actor=Actor(alice))

    threads = [threading.Thread(target=report, args=(job_id,)) for job_id in ids for _ in range(2)]
    threads += [threading.Thread(target=cancel, args=(job_id,)) for job_id in ids[:2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job_id in ids:
        seqs = [event.data["seq"] for event in events.of(job_id)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert events.of(job_id)[-1].data["new_status"] in ("completed", "cancelled")


@pytest.mark.one_process
def test_nothing_leaves_for_a_change_that_is_not_committed(
    new_job: Any, events: Recorder, settings: Settings
) -> None:
    job_id = new_job()
    connection = sqlite3.connect(settings.data_dir / "portal.sqlite")
    connection.execute(
        "CREATE TRIGGER no_events BEFORE INSERT ON job_events "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    connection.close()
    with pytest.raises(Exception, match="refused"):
        claims.claim(job_id, "test:1")
    assert [event.name for event in events.of(job_id)] == ["job_created"]
    assert (stored(job_id).status, stored(job_id).seq) == ("queued", 1)
