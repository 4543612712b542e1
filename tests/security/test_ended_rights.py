"""Jobs that wait when the right of their owner ends: nothing is done in that person's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portal.services.accounts import users
from portal.services.actor import Actor
from portal.services.jobs import claims, control, rescue, scheduler
from portal.services.jobs.claims import Claim
from tests.support.transfers import claim_and_fall_silent, history, status_of


@pytest.fixture(params=["disabled", "demoted"])
def end_right(request: pytest.FixtureRequest, user: Any) -> Callable[[], Callable[[], object]]:
    """Ends the right of bob; gives what restores it."""

    def end() -> Callable[[], object]:
        bob, alice = user("bob").id, Actor(user("alice"))
        if request.param == "disabled":
            users.set_active(bob, False, actor=alice)
            return lambda: users.set_active(bob, True, actor=Actor(user("alice")))
        users.change_role(bob, "viewer", actor=alice)
        return lambda: users.change_role(bob, "operator", actor=Actor(user("alice")))

    return end


def test_queued_job_of_an_owner_who_may_no_longer_run_jobs_waits(
    new_job: Any, end_right: Any, browser: Any
) -> None:
    mine, other = new_job("bob", operation="sync"), new_job("alice")
    restore = end_right()
    found = scheduler.find_next([None])
    assert found is not None
    assert found.job_id == other
    assert scheduler.claim(mine, "test:1") is None, "also if it was chosen just before"
    alice = browser("alice")
    assert alice.get(f"/api/v1/jobs/{mine}").json["waiting_for"]["reason"] == "user_limit"
    assert "waits: bob may no longer run jobs" in alice.get("/jobs").text
    restore()
    assert scheduler.claim(mine, "test:1") is not None


def test_rescued_job_of_an_owner_who_may_no_longer_run_jobs_waits(
    new_job: Any, end_right: Any
) -> None:
    job_id = new_job("bob")
    claim_and_fall_silent(job_id)
    end_right()
    assert rescue.sweep(45)
    assert history(job_id)[-1] == "queued"
    assert scheduler.find_next([None]) is None
    assert scheduler.claim(job_id, "test:1") is None


def test_resumed_job_of_an_owner_who_may_no_longer_run_jobs_gets_no_slot(
    new_job: Any, end_right: Any, user: Any
) -> None:
    job_id = new_job("bob")
    assert scheduler.claim(job_id, "test:1") is not None
    alice = Actor(user("alice"))
    control.pause(job_id, actor=alice)
    assert claims.release_slot(Claim(job_id, 1))
    restore = end_right()
    control.resume(job_id, actor=alice)
    assert not claims.take_slot(Claim(job_id, 1))
    restore()
    assert claims.take_slot(Claim(job_id, 1))


def test_admin_cancels_what_waits_of_somebody_who_was_disabled(
    new_job: Any, end_right: Any, browser: Any
) -> None:
    job_id = new_job("bob")
    end_right()
    assert browser("alice").post(f"/jobs/{job_id}/cancel").status_code == 303
    assert status_of(job_id) == "cancelled"
