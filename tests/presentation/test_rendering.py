"""Figures as words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from portal.db.clock import iso, now
from portal.models import Job, JobEvent
from portal.presentation import formatting, job_words
from portal.transfers.names import is_name
from portal.transfers.states import JobStatus, Operation

GIB = 1024**3
MOMENT = datetime(2026, 3, 1, 23, 5, 9, 987_654, tzinfo=UTC)


def a_job(status: str = "running", operation: str = "copy", **figures: Any) -> Job:
    plain: dict[str, Any] = {
        "phase": None,
        "bytes_transferred": 0,
        "total_bytes": None,
        "percent": None,
        "speed_bytes": 0,
        "eta_seconds": None,
        "files_transferred": 0,
        "files_total": 0,
        "files_listed": 0,
        "files_unchanged": 0,
        "files_deleted": 0,
        "earlier_seconds": 0,
        "dry_run": False,
        "queued_at": MOMENT,
        "started_at": None,
        "finished_at": None,
        "progress_at": None,
    }
    return Job(status=JobStatus(status), operation=Operation(operation), **{**plain, **figures})


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),  # not 1024.0 KiB
        (1024**2, "1.0 MiB"),
        (int(41.2 * GIB), "41.2 GiB"),
        (2**63 - 1, "8.0 EiB"),
        (2**80, "1048576.0 EiB"),
    ],
)
def test_size_is_in_binary_units_with_one_decimal(number: int | None, words: str) -> None:
    assert formatting.size(number) == words


@settings(max_examples=50)
@given(strategies.integers(0, 2**63))
def test_size_never_needs_more_than_four_digits(number: int) -> None:
    value, unit = formatting.size(number).split(" ")
    assert float(value) < 1024
    assert ("." in value) == (unit != "B")


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (int(1.2 * GIB), 4 * GIB, "1.2 of 4.0 GiB"),
        (512 * 1024**2, 4 * GIB, "512.0 MiB of 4.0 GiB"),
        (0, 0, "0 of 0 B"),
        (700, None, "700 B"),
    ],
)
def test_part_of_a_whole_names_the_unit_once(part: int, whole: int | None, words: str) -> None:
    assert formatting.size_of(part, whole) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (-3, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (12_059, "3 h 20 min"),
        (86_400 * 2 + 3600 * 4, "2 d 4 h"),
        (2**63, "106751991167300 d 15 h"),
    ],
)
def test_duration_takes_its_two_largest_units(seconds: float | None, words: str) -> None:
    assert formatting.duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"), [(None, "–"), (0.0, "0 %"), (99.9, "99 %"), (100.0, "100 %")]
)
def test_percent_is_rounded_down(number: float | None, words: str) -> None:
    assert formatting.percent(number) == words


def test_speed_that_is_nothing_is_not_known() -> None:
    assert [formatting.speed(number) for number in (None, 0, 2048)] == ["–", "–", "2.0 KiB/s"]


def test_counts_of_files_have_groups_and_a_singular() -> None:
    assert [formatting.files(number) for number in (0, 1, 10_000)] == [
        "0 files",
        "1 file",
        "10,000 files",
    ]


def test_relative_time_goes_up_to_a_day_then_gives_the_date() -> None:
    ages = {
        timedelta(minutes=-5): "just now",  # a clock that goes after ours
        timedelta(seconds=59): "just now",
        timedelta(minutes=5, seconds=9): "5 min ago",
        timedelta(hours=23, minutes=59): "23 h ago",
    }
    for age, words in ages.items():
        assert formatting.relative(now() - age) == words
    assert formatting.relative(MOMENT) == "1 Mar 2026"
    assert formatting.relative(None) == "–"


def test_exact_time_is_in_the_readers_zone() -> None:
    assert formatting.exact(MOMENT, "UTC") == "1 Mar 2026, 23:05:09"
    assert formatting.exact(MOMENT, "Asia/Kathmandu") == "2 Mar 2026, 04:50:09"
    assert formatting.exact(None, "UTC") == "–"


def test_timestamp_that_leaves_is_utc_with_milliseconds() -> None:
    assert iso(MOMENT) == "2026-03-01T23:05:09.987Z"


@settings(max_examples=50)
@given(strategies.text(strategies.characters(exclude_categories=())))
def test_printable_shows_whatever_a_name_holds(text: str) -> None:
    shown = formatting.printable(text)
    assert is_name(shown)
    shown.encode()
    if is_name(text):
        assert shown == text


def test_printable_makes_the_invisible_visible() -> None:
    assert formatting.printable("a\nb\t\u202e\x1b[31m\udce9ü") == (
        "a\\nb\\t\\u202e\\x1b[31m\\udce9ü"
    )


@settings(max_examples=50)
@given(strategies.text(max_size=80), strategies.integers(5, 60))
def test_shortened_keeps_both_ends(path: str, length: int) -> None:
    shown = formatting.shorten(path, length)
    assert len(shown) <= length
    assert shown == path or (path.startswith(shown.split("…")[0]) and "…" in shown)


@pytest.mark.parametrize(
    ("job", "bytes_shown", "files_shown", "percent"),
    [
        (a_job(), "Scanning…", "–", "–"),
        (a_job(files_listed=1), "Scanning… 1 file found", "–", "–"),
        (a_job("cancelling", files_listed=1234), "Scanning… 1,234 files found", "–", "–"),
        (
            a_job(bytes_transferred=GIB, total_bytes=4 * GIB, percent=25.0, files_total=2),
            "1.0 of 4.0 GiB",
            "0 of 2 files",
            "25 %",
        ),
        (a_job("queued"), "–", "–", "–"),
        (a_job("interrupted", bytes_transferred=512), "512 B", "–", "–"),
        (a_job("cancelled"), "Nothing was transferred", "–", ""),
        (a_job("failed", files_transferred=2), "–", "–", ""),
        (
            a_job("failed", bytes_transferred=1, total_bytes=2, percent=50.0),
            "1 of 2 B",
            "–",
            "50 %",
        ),
    ],
)
def test_figures_of_a_job_are_never_guessed(
    job: Job, bytes_shown: str, files_shown: str, percent: str
) -> None:
    words = job_words.display(job)
    assert (words["bytes"], words["files"], words["percent"]) == (
        bytes_shown,
        files_shown,
        percent,
    )


@pytest.mark.parametrize("status", ["running", "completed"])
@pytest.mark.parametrize("kind", [{"dry_run": True}, {"operation": "check"}])
def test_dry_run_and_check_claim_no_moved_bytes(status: str, kind: dict[str, Any]) -> None:
    figures = {"total_bytes": 4 * GIB, "percent": 50.0, "files_total": 3, "files_transferred": 0}
    words = job_words.display(a_job(status, **kind, **figures))
    assert not re.search(r"\d (B|[KMG]iB)? ?of|\b0 B\b", words["bytes"])
    assert not words["valuetext"].startswith("not known")


@pytest.mark.parametrize(
    ("operation", "words"), [("copy", "be copied"), ("sync", "be copied"), ("move", "be moved")]
)
def test_dry_run_says_what_the_operation_would_do(operation: str, words: str) -> None:
    figures = {"total_bytes": 4 * GIB, "files_total": 3}
    shown = job_words.display(a_job("completed", operation=operation, dry_run=True, **figures))
    assert shown["bytes"] == f"4.0 GiB would {words}"
    assert shown["files"] == f"3 files would {words}"


DIFFERENCES = {
    "different": {"count": 1, "names": ["a"]},
    "only_source": {"count": 0, "names": []},
    "only_destination": {"count": 1200, "names": ["b"]},
}


@pytest.mark.parametrize(
    ("operation", "figures", "shown", "result"),
    [
        ("copy", {"files_unchanged": 3}, "", "Nothing to copy: 3 files are there already"),
        ("copy", {"files_unchanged": 1}, "", "Nothing to copy: 1 file is there already"),
        ("move", {"files_unchanged": 1200}, "", "Nothing to move: 1,200 files are there already"),
        (
            "sync",
            {"files_unchanged": 3},
            "",
            "Nothing to copy or delete: 3 files are there already",
        ),
        ("copy", {}, "", "Nothing to copy: no files were found"),
        ("move", {"options": {"max_size": 1}}, "", "Nothing to move: no file passed the filters"),
        ("copy", {"files_total": 2, "files_transferred": 2}, "0 of 0 B", ""),
        (
            "copy",
            {"files_total": 2, "files_transferred": 2, "files_unchanged": 3},
            "0 of 0 B",
            "Copied 2, unchanged 3",
        ),
        (
            "move",
            {"files_total": 2, "files_transferred": 2, "files_unchanged": 3},
            "0 of 0 B",
            "Moved 2, unchanged 3",
        ),
        (
            "sync",
            {"files_total": 2, "files_transferred": 2, "files_unchanged": 3, "files_deleted": 17},
            "0 of 0 B",
            "Copied 2, deleted 17, unchanged 3",
        ),
        ("sync", {"files_deleted": 17}, "0 of 0 B", "Copied 0, deleted 17, unchanged 0"),
        (
            "copy",
            {
                "dry_run": True,
                "files_total": 2,
                "plan": {"copies": 2, "deletes": 0, "unchanged": 3},
            },
            "0 B would be copied",
            "Would copy 2, leave 3",
        ),
        (
            "sync",
            {"dry_run": True, "plan": {"copies": 2, "deletes": 17, "unchanged": 3}},
            "0 B would be copied",
            "Would copy 2, delete 17, leave 3",
        ),
        ("check", {"outcome": "equal", "files_unchanged": 3}, "3 files are the same", ""),
        ("check", {"outcome": "equal", "files_unchanged": 1}, "1 file is the same", ""),
        ("check", {"outcome": "equal"}, "No files on either side", ""),
        (
            "check",
            {"outcome": "different", "differences": DIFFERENCES, "files_unchanged": 5},
            "1,201 files differ",
            "1 different, 1,200 only at the destination, 5 the same",
        ),
    ],
)
def test_end_of_a_job_says_what_was_done(
    operation: str, figures: dict[str, Any], shown: str, result: str
) -> None:
    job = a_job("completed", operation=operation, total_bytes=0, percent=100.0, **figures)
    words = job_words.display(job)
    assert (words["bytes"], words["result"]) == (shown, result)
    different = figures.get("outcome") == "different"
    assert (words["status"], words["tone"]) == (
        ("Different", "yellow") if different else ("Completed", "green")
    )
    for status in JobStatus:
        if status != "completed":
            over = job_words.display(a_job(status, operation=operation, **figures))
            assert over["result"] == ""
            assert "Nothing to" not in over["bytes"]


def test_phase_and_time_left_belong_to_a_running_job_alone() -> None:
    for status in JobStatus:
        words = job_words.display(a_job(status, phase="transferring", eta_seconds=65))
        running = status == "running"
        assert words["phase"] == ("Transferring" if running else "")
        assert words["eta"] == ("1 min 5 s left" if running else "–")
    assert job_words.display(a_job())["phase"] == "Starting"


def test_words_for_a_screen_reader_say_when_nothing_is_known() -> None:
    assert job_words.display(a_job("queued"))["valuetext"] == "not known yet"
    done = a_job(bytes_transferred=1, total_bytes=2, percent=50.0)
    assert job_words.display(done)["valuetext"] == "50 %, 1 of 2 B"


def test_age_of_figures_is_given_while_some_are_expected() -> None:
    fresh = a_job(progress_at=now() - timedelta(seconds=3))
    assert 3 <= float(job_words.age(fresh)) < 60
    assert job_words.age(a_job("cancelling", started_at=now())) != ""
    assert job_words.age(a_job("completed")) == ""


@pytest.mark.parametrize(
    ("old", "new", "actor", "note", "words"),
    [
        (None, "queued", "bob", "", "was created by bob"),
        ("running", "queued", "", "stopped", "back in the queue"),
        ("queued", "running", "", "", "started"),
        ("running", "cancelling", "alice", "", "is being cancelled by alice"),
        ("queued", "cancelled", "", "", "was cancelled"),
        ("running", "interrupted", "", "the worker stopped responding", "was interrupted"),
        ("running", "failed", "", "The disk is full.", "failed – The disk is full."),
        ("running", "failed", "", "", "failed"),
        ("running", "completed", "", "", "completed – 1.0 GiB in 12 min 5 s"),
    ],
)
def test_event_is_told_in_words(
    old: str | None, new: str, actor: str, note: str, words: str
) -> None:
    job = a_job(
        new,
        bytes_transferred=GIB,
        started_at=MOMENT,
        finished_at=MOMENT + timedelta(seconds=725),
    )
    event = JobEvent(job=job, old_status=old, new_status=new, actor=actor, note=note)
    assert job_words.event_words(event) == words


def test_completed_check_or_dry_run_tells_of_no_bytes() -> None:
    times = {"started_at": MOMENT, "finished_at": MOMENT + timedelta(seconds=9)}
    for kind in ({"operation": "check"}, {"dry_run": True}):
        job = a_job("completed", **kind, **times, files_transferred=12)
        event = JobEvent(job=job, old_status="running", new_status="completed", actor="", note="")
        said = job_words.event_words(event)
        assert said.startswith("completed – ")
        assert "B in" not in said


def test_time_taken_runs_on_until_the_end() -> None:
    assert job_words.run_time(a_job("queued")) is None
    assert job_words.run_time(a_job(started_at=now() - timedelta(seconds=5))) == pytest.approx(
        5, abs=2
    )


@pytest.mark.parametrize("values", [(0,) * 10, tuple(range(10)), (2**62,) * 10])
def test_sparkline_stays_in_its_box(values: tuple[int, ...]) -> None:
    points = [tuple(map(float, point.split(","))) for point in formatting.sparkline(values).split()]
    assert len(points) == 10
    assert (points[0][0], points[-1][0]) == (0, 100)
    assert all(1 <= height <= 19 for _, height in points)
    assert points[-1][1] == (19 if not values[-1] else 1)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ((0, 0, 0), "No job is running"),
        ((3, 1200, 1), "3 running, 1,200 queued, 1 failed today"),
        ((0, 0, 2), "No job is running, 2 failed today"),
        ((0, 4, 0), "4 queued"),
    ],
)
def test_summary_names_what_there_is(figures: tuple[int, int, int], words: str) -> None:
    assert job_words.summary(*figures) == words
