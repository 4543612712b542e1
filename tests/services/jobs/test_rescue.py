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
    rescue.sweep(45, 60)
    return status_of(job_id) == "queued"


@pytest.mark.parametrize("step", [120, -3600], ids=["ahead", "back"])
def test_jobs_of_living_workers_stay_theirs_when_the_clock_is_set(
    silent: Callable[..., int], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Their last heartbeats look old then, or come from the future."""
    current().put(rescue._Clocks())
    moment = [1000.0]
    monkeypatch.setattr(rescue, "elapsed", lambda: moment[0])
    rescue.sweep(45, 60)
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
    moment[0] += 1
    assert not swept(job_id)
    put(job_id, heartbeat_at=database_time(ago=60))
    assert swept(job_id)


def test_job_that_lost_its_worker_four_times_is_failed_and_says_why(
    app: Flask, silent: Callable[..., int]
) -> None:
    job_id = silent()
    for lost in range(1, 4):
        rescue.sweep(45, 60)
        assert (status_of(job_id), stored(job_id).interruptions) == ("queued", lost)
        claims.claim(job_id, f"lost:{lost + 1}")
        put(job_id, heartbeat_at=database_time(ago=60))
    rescue.sweep(45, 60)
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
    rescue.sweep(45, 60)
    assert status_of(sound) == "queued"
    assert status_of(spoiled) in ("running", "interrupted")


def test_job_without_a_claim_for_a_minute_is_notified_again_once_a_minute(
    app: Flask, new_job: Callable[..., int]
) -> None:
    job_id = new_job(pool="site-b")
    assert rescue.sweep(45, 60) == []
    put(job_id, queued_at=database_time(ago=61))
    notified = rescue.sweep(45, 60)
    assert [(one.job_id, one.pool) for one in notified] == [(job_id, "site-b")]
    assert rescue.sweep(45, 60) == notified, "until it is noted that workers were notified"
    rescue.note_notified([job_id])
    assert rescue.sweep(45, 60) == []


def test_only_jobs_of_pools_that_lost_their_messages_count_as_unclaimed(
    app: Flask, new_job: Callable[..., int]
) -> None:
    ids = {pool: new_job(pool=pool) for pool in (None, "site-b", "site-c")}
    for job_id in (ids[None], ids["site-b"]):
        put(job_id, queued_at=database_time(ago=20))
    asked: list[str | None] = []

    def unclaimed(*lost: str | None) -> list[int]:
        asked.clear()
        found = rescue.unclaimed(15, lambda pool: asked.append(pool) or pool in lost)
        return [one.job_id for one in found]

    assert unclaimed("site-b", "site-c") == [ids["site-b"]]
    assert set(asked) == {None, "site-b"}, "of a pool where nobody waits long nothing is asked"
    assert unclaimed() == []
    rescue.note_notified([ids["site-b"]])
    assert unclaimed(None, "site-b") == [ids[None]], "from its last message on the time counts"


def test_message_of_a_job_that_was_claimed_meanwhile_is_not_noted(
    app: Flask, new_job: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue, "_AT_ONCE", 2)  # so that three are noted in two transactions
    ids = [new_job() for _ in range(3)]
    claims.claim(ids[1], "quick:1")
    rescue.note_notified(ids)
    noted = [stored(job_id).notified_at is not None for job_id in ids]
    assert noted == [True, False, True]


def test_who_may_not_sweep_touches_nothing(
    silent: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def taken(_right: int) -> Iterator[bool]:
        yield False

    job_id = silent()
    monkeypatch.setattr(rescue, "advisory_lock", taken)
    assert rescue.sweep(45, 60) == []
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
    assert rescue.sweep(45, 60) == []
    assert history(job_id) == ["queued", "running"]


def test_job_that_was_to_be_cancelled_is_cancelled_when_its_worker_is_gone(
    silent: Callable[..., int], user: Any
) -> None:
    job_id = silent()
    control.cancel(job_id, actor=Actor(user("bob")))
    assert status_of(job_id) == "cancelling"
    put(job_id, heartbeat_at=database_time(ago=60))
    rescue.sweep(45, 60)
    assert status_of(job_id) == "cancelled"
    assert_ended_once([job_id])
