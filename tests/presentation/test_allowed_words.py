"""How much of its share of the bandwidth a job uses, in words."""

from __future__ import annotations

from typing import Any

import pytest

from portal.db.clock import now
from portal.models import Job
from portal.presentation import formatting, job_words
from portal.transfers.states import JobStatus, Operation

MIB = 1024 * 1024


def a_job(status: str = "running", operation: str = "copy", **figures: Any) -> Job:
    counts = ("bytes_transferred", "files_transferred", "files_total", "files_listed")
    plain: dict[str, Any] = {**dict.fromkeys((*counts, "speed_bytes"), 0), "dry_run": False}
    return Job(status=JobStatus(status), operation=Operation(operation), **{**plain, **figures})


def words(job: Job) -> str:
    return job_words.progress_display(job)["allowed"]


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (int(1.2 * MIB), 10 * MIB, "1.2 of 10 MiB/s"),
        (0, 10 * MIB, "0 of 10 MiB/s"),
        (1022 * 1024, MIB, "1.0 of 1 MiB/s"),
        (20_000, 10 * MIB, "19.5 KiB/s of 10 MiB/s"),
        (int(2.3 * MIB), int(3.34 * MIB), "2.3 of 3.3 MiB/s"),
        (3, 5, "3 of 5 B/s"),
    ],
)
def test_speed_is_said_in_the_unit_of_what_is_allowed(part: int, whole: int, said: str) -> None:
    assert formatting.speed_of(part, whole) == said


def test_running_job_says_what_it_uses_of_what_it_is_allowed() -> None:
    job = a_job(speed_bytes=int(1.2 * MIB), allowed_bytes=10 * MIB)
    assert words(job) == "1.2 of 10 MiB/s allowed now"


def test_speed_that_is_an_average_does_not_seem_to_exceed_the_share() -> None:
    assert words(a_job(speed_bytes=int(1.05 * MIB), allowed_bytes=MIB)) == (
        "1.0 of 1 MiB/s allowed now"
    )


def test_own_limit_holds_beside_the_share() -> None:
    job = a_job(speed_bytes=MIB, allowed_bytes=10 * MIB, bandwidth_limit="2M")
    assert words(job) == "1.0 of 2 MiB/s allowed now"
    assert job_words.allowed_now(a_job(bandwidth_limit="2M")) == 2 * MIB
    assert job_words.allowed_now(a_job()) is None


def test_job_without_room_in_the_budget_says_that_it_waits() -> None:
    assert words(a_job(allowed_bytes=0)) == "Waits for bandwidth that other jobs use"


@pytest.mark.parametrize(
    "job",
    [
        a_job(speed_bytes=MIB),
        a_job("queued", allowed_bytes=MIB),
        a_job("completed", speed_bytes=MIB, allowed_bytes=MIB),
        a_job(allowed_bytes=MIB, paused_at=now()),
        a_job(operation="check", allowed_bytes=MIB),
    ],
)
def test_nothing_is_said_where_no_share_matters(job: Job) -> None:
    assert words(job) == ""
