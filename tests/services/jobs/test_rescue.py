"""Jobs that nobody works on any more: who takes them back, when not, and who hears of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from portal.db.session import database_time, session
from portal.models import Job
from portal.runtime.context import current
from portal.services.actor import Actor
from portal.services.jobs import claims, control, rescue
from tests.support.transfers import (
    assert_ended_once,
    claim_and_fall_silent,
    history,
    status_of,
    stored,
)


def put(job_id: int, **values: Any) -> None:
    session.execute(update(Job).where(Job.id == job_id).values(**values))
    session.commit()


@pytest.fixture
def silent(new_job: Callable[..., int]) -> Callable[..., int]:
    """A job whose worker was last heard of a minute ago."""

    return lambda **options: claim_and_fall_silent(new_job(**options))


def swept(job_id: int) -> bool:
    rescued = rescue.sweep(45)
    assert rescued == (status_of(job_id) == "queued"), "whether workers have to look"
    return rescued


@pytest.mark.parametrize("step", [120, -3600], ids=["ahead", "back"])
def test_jobs_of_living_workers_stay_theirs_when_the_clock_is_set(
    silent: Callable[..., int], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Their last heartbeats look old then, or come from the future."""
    current().put(rescue._Clocks())
    moment = [1000.0]
    monkeypatch.setattr(rescue, "elapsed", lambda: moment[0])
    rescue.sweep(45)
    moment[0] += 5 - step  # of the database's clock, which has gone on by nothing
    job_id = silent()
    put(job_id, heartbeat_at=database_time(ago=step))
    assert not swept(job_id)
    assert status_of(job_id) == "running"
    for _ in range(4):
        moment[0] += 10
        assert not swept(job_id)
    moment[0] += 10
    assert swept(job_id)  # no heartbeat came after that either


def test_clock_that_was_set_before_the_first_sweep_costs_nobody_a_job(
    silent: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has just started knows of no other time."""
    moment = [1000.0]
    monkeypatch.setattr(rescue, "elapsed", lambda: moment[0])
    job_id = silent()
    current().put(rescue._Clocks())
    assert not swept(job_id)
    moment[0] += 11
    assert not swept(job_id)
    put(job_id, heartbeat_at=database_time())  # a living worker has sent it by now
    put(job_id, heartbeat_at=database_time(ago=60))
    for _ in range(3):
        moment[0] += 11
        assert not swept(job_id)  # the rclone of a frozen worker may still live
    moment[0] += 1
    assert swept(job_id)


def test_job_that_lost_its_worker_four_times_is_failed_and_says_why(
    app: Flask, silent: Callable[..., int]
) -> None:
    job_id = silent()
    for lost in range(1, 4):
        rescue.sweep(45)
        assert (status_of(job_id), stored(job_id).interruptions) == ("queued", lost)
        claims.claim(job_id, f"lost:{lost + 1}")
        put(job_id, heartbeat_at=database_time(ago=60))
    rescue.sweep(45)
    job = stored(job_id)
    assert job.status == "failed"
    assert job.error == "Interrupted 4 times, so the transfer was given up."
    assert_ended_once([job_id])


def test_row_that_somebody_spoiled_does_not_stop_the_sweep(
    app: Flask, silent: Callable[..., int]
) -> None:
    spoiled, sound = silent(), silent()
    put(spoiled, operation="dance")
    put(sound, heartbeat_at=None, started_at=database_time(ago=60))
    rescue.sweep(45)
    assert status_of(sound) == "queued"
    assert status_of(spoiled) in ("running", "interrupted")


def test_who_may_not_sweep_touches_nothing(
    silent: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def taken(_right: int) -> Iterator[bool]:
        yield False

    job_id = silent()
    monkeypatch.setattr(rescue, "advisory_lock", taken)
    assert not rescue.sweep(45)
    assert status_of(job_id) == "running"
    monkeypatch.undo()
    assert swept(job_id)


def test_worker_that_was_only_slow_keeps_its_job(
    silent: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeat arrives after the sweep has found it missing."""
    job_id = silent()
    real = rescue.job_transaction

    def after_the_heartbeat(number: int) -> Any:
        put(number, heartbeat_at=database_time())
        return real(number)

    monkeypatch.setattr(rescue, "job_transaction", after_the_heartbeat)
    assert not rescue.sweep(45)
    assert history(job_id) == ["queued", "running"]


def test_job_that_was_to_be_cancelled_is_cancelled_when_its_worker_is_gone(
    silent: Callable[..., int], user: Any
) -> None:
    job_id = silent()
    control.cancel(job_id, actor=Actor(user("bob")))
    assert status_of(job_id) == "cancelling"
    put(job_id, heartbeat_at=database_time(ago=60))
    rescue.sweep(45)
    assert status_of(job_id) == "cancelled"
    assert_ended_once([job_id])
