"""Processes share bandwidth budgets by the rows of the jobs: never too much, and nobody leads."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, update

from portal.db.session import database_time, session
from portal.engine import Flow
from portal.models import OF_PORTAL, Job, Remote, User
from portal.services import bandwidth_budgets
from portal.services.actor import Actor
from portal.services.jobs import bandwidth_sharing, claims
from portal.services.jobs.bandwidth_sharing import Grant, OwnJob, Sharing, Usage, plan
from portal.services.jobs.claims import Claim
from portal.transfers.bandwidth_shares import Demand
from portal.worker.bandwidth_demand import DemandMeter
from portal.worker.bandwidth_sharing import BandwidthSharing, JobBandwidth
from tests.support.applications import engine_of
from tests.support.remotes import SFTP, new_remote
from tests.support.transfers import stored

assert new_remote
MIB = 1024 * 1024
ALL = frozenset({OF_PORTAL})


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"remotes_allow_local": True}


@pytest.fixture
def budget(user: Callable[[str], User]) -> Callable[..., None]:
    alice = Actor(user("alice"))

    def save(text: str, budget_id: int = OF_PORTAL) -> None:
        bandwidth_budgets.save({budget_id: text}, "UTC", actor=alice)
        session.remove()

    return save


@pytest.fixture
def claimed(new_job: Callable[..., int]) -> Callable[..., Claim]:
    def claim(**options: Any) -> Claim:
        job = claims.claim(new_job(**options), "test:1")
        session.remove()
        assert job is not None
        return Claim(job.id, job.attempt)

    return claim


class Wish(DemandMeter):
    """Wants what it is told to want."""

    def note(self, moment: float, sample: tuple[float, int], rate: int | None) -> None:
        pass


class Process:
    """The jobs of one process, and for each what its rclone may move: it obeys a little later."""

    def __init__(self) -> None:
        self.sharing = BandwidthSharing()
        self.jobs: dict[Claim, JobBandwidth] = {}

    def add(self, claim: Claim) -> JobBandwidth:
        self.jobs[claim] = JobBandwidth("UTC")
        self.jobs[claim].meter = Wish()
        return self.jobs[claim]

    def obey(self, claim: Claim) -> None:
        self.jobs[claim].flow = Flow(self.jobs[claim].allowed)

    def look(self) -> None:
        """As the thread does that reports the progress of all jobs."""
        directives = claims.read_directives(list(self.jobs))
        self.sharing.share({claim: (job, directives[claim]) for claim, job in self.jobs.items()})
        session.remove()

    def settle(self) -> None:
        for _ in range(4):
            self.sharing._is_urgent = True
            self.look()
            for claim in self.jobs:
                self.obey(claim)


@contextmanager
def statements(app: Flask) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    engine = engine_of(app)
    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def test_jobs_of_one_process_get_equal_shares_and_their_rows_say_so(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("10M")
    process = Process()
    jobs = [process.add(claimed()) for _ in range(4)]
    process.settle()
    assert [job.allowed for job in jobs] == [2.5 * MIB] * 4
    assert {stored(claim.job_id).allowed_bytes for claim in process.jobs} == {2.5 * MIB}


def test_new_job_gets_nothing_until_the_others_have_taken_less(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("10M")
    one, other = Process(), Process()
    first, second = claimed(), claimed()
    job = one.add(first)
    one.settle()
    assert job.allowed is not None
    assert job.allowed >= 5 * MIB, "the other process is not there yet"
    new = other.add(second)
    one.settle()
    assert job.allowed == 5 * MIB
    job.flow = Flow(10 * MIB)  # as if its rclone had not heard of it yet
    session.execute(update(Job).where(Job.id == first.job_id).values(allowed_bytes=10 * MIB))
    session.commit()
    other.settle()
    assert new.allowed == 0
    one.settle()
    other.settle()
    assert (job.allowed, new.allowed) == (5 * MIB, 5 * MIB)


def test_sum_never_exceeds_the_budget_whatever_comes_in_which_order(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    dice = random.Random(7)  # noqa: S311 - no secret
    budget("10M")
    processes = [Process(), Process(), Process()]
    unclaimed = [claimed(destination=f"/to/{number}") for number in range(9)]
    for step in range(250):
        process = dice.choice(processes)
        act = dice.random()
        if act < 0.06 and unclaimed:
            process.add(unclaimed.pop())
        elif act < 0.5:
            process.sharing._is_urgent = True
            process.look()
        elif process.jobs:
            claim = dice.choice(list(process.jobs))
            if act < 0.9:
                process.obey(claim)
            else:
                process.jobs[claim].meter.wanted = dice.choice([None, None, 100_000, 2 * MIB])
        mosts = [job.flow.most for one in processes for job in one.jobs.values()]
        assert sum(most or 0 for most in mosts) <= 10 * MIB, (step, mosts)
    for one in processes:
        for job in one.jobs.values():
            job.meter.wanted = None
    for _ in range(4):
        for one in processes:
            one.settle()
    shares = [job.allowed or 0 for one in processes for job in one.jobs.values()]
    assert shares == [10 * MIB // 9] * 9


def test_jobs_of_a_silent_process_keep_their_share_until_they_are_rescued(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    # Its rclone may go on for as long as that.
    budget("10M")
    dead, living = Process(), Process()
    dead.add(claimed())
    job = living.add(claimed())
    for process in (dead, living, dead, living):
        process.settle()
    assert job.allowed == 5 * MIB
    living.settle()
    assert job.allowed == 5 * MIB


def test_job_without_a_limit_is_told_its_share_at_once_and_counts_when_rclone_has_heard(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    process = Process()
    claim = claimed()
    job = process.add(claim)
    process.look()
    process.obey(claim)
    assert (job.allowed, job.flow.most) == (None, None), "no budget yet"
    budget("1M")
    process.look()
    assert job.allowed == MIB
    assert stored(claim.job_id).allowed_bytes is None
    process.settle()
    assert stored(claim.job_id).allowed_bytes == MIB


def test_removed_budget_sets_all_free_and_their_rows_say_so(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("1M")
    process = Process()
    claim = claimed()
    job = process.add(claim)
    process.settle()
    assert job.allowed == MIB
    budget("")
    process.look()
    assert job.allowed is None
    assert (stored(claim.job_id).allowed_bytes, stored(claim.job_id).wanted_bytes) == (None, None)


def test_deleted_remote_takes_its_budget_with_it(
    budget: Callable[..., None],
    claimed: Callable[..., Claim],
    new_remote: Callable[..., Remote],
) -> None:
    nas = new_remote("nas", "sftp", SFTP)
    budget("1M", nas.id)
    process = Process()
    job = process.add(claimed(destination="nas:to", destination_remote_id=nas.id))
    process.settle()
    assert job.allowed == MIB
    session.delete(session.get_one(Remote, nas.id))
    session.commit()
    process.look()
    assert job.allowed is None


def test_jobs_of_other_remotes_are_free(
    budget: Callable[..., None],
    claimed: Callable[..., Claim],
    new_remote: Callable[..., Remote],
) -> None:
    nas = new_remote("nas", "sftp", SFTP)
    budget("1M", nas.id)
    process = Process()
    local = process.add(claimed())
    both = {"source": "nas:from", "source_remote_id": nas.id}
    within = process.add(claimed(**both, destination="nas:to", destination_remote_id=nas.id))
    process.settle()
    assert (local.allowed, within.allowed) == (None, MIB), "two ends at one remote count once"


def test_timetable_that_sets_no_limit_now_leaves_all_free(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("00:00,off 23:59,off")
    process = Process()
    job = process.add(claimed())
    process.settle()
    assert job.allowed is None


def test_without_a_budget_sharing_asks_the_database_nothing(
    app: Flask, claimed: Callable[..., Claim]
) -> None:
    process = Process()
    for _ in range(3):
        process.add(claimed())
    with statements(app) as found:
        for _ in range(5):
            process.sharing._is_urgent = True
            process.look()
    selects = [one for one in found if one.startswith("SELECT")]
    assert len(selects) == len(found) == 5, "what is read of the jobs anyway"


def test_with_a_budget_sharing_asks_one_question_a_second(
    app: Flask, budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("10M")
    process = Process()
    for _ in range(3):
        process.add(claimed())
    process.settle()
    process.look()
    with statements(app) as found:
        for _ in range(5):
            process.look()
        assert len(found) == 5, "no look at the shares within the same second"
        process.sharing._looked_at -= 1.0
        process.look()
    assert len(found) == 7


def test_what_a_dry_run_lists_takes_no_share(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("10M")
    process = Process()
    claimed(dry_run=True)
    job = process.add(claimed())
    process.settle()
    assert job.allowed == 10 * MIB


def test_paused_job_lends_all_of_its_share_and_waits_for_it_when_it_is_resumed(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("10M")
    process = Process()
    first, second = claimed(), claimed()
    paused, other = process.add(first), process.add(second)
    process.settle()
    set_paused(first.job_id, True)
    process.settle()
    assert (paused.allowed, other.allowed) == (0, 10 * MIB)
    set_paused(first.job_id, False)
    process.look()
    assert paused.allowed == 0, "the other moves all of it at this moment"
    process.settle()
    assert (paused.allowed, other.allowed) == (5 * MIB, 5 * MIB)


def set_paused(job_id: int, paused: bool) -> None:
    at = database_time() if paused else None
    session.execute(update(Job).where(Job.id == job_id).values(paused_at=at))
    session.commit()
    session.remove()


def test_job_begins_with_no_less_than_half_of_its_share() -> None:
    mine, other = Claim(1, 1), Claim(2, 1)
    new = OwnJob(wanted=None, allowed=0, most=0)

    def first_grant(free: int) -> Grant:
        busy = Usage(Demand(None, ALL), granted=MIB - free)
        sharing = Sharing({mine: Usage(Demand(None, ALL)), other: busy}, {OF_PORTAL: MIB})
        return plan(sharing, {mine: new})[mine]

    assert first_grant(MIB // 4 - 1).allowed == 0
    assert first_grant(MIB // 4).allowed == MIB // 4


def test_youngest_jobs_wait_while_there_is_too_little_for_all(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("80k")
    process = Process()
    first, second, third = (process.add(claimed()) for _ in range(3))
    process.settle()
    assert (first.allowed, second.allowed, third.allowed) == (40 * 1024, 40 * 1024, 0)
    budget("10M")
    process.settle()
    assert third.allowed == 10 * MIB // 3


def test_what_ended_meanwhile_gets_nothing() -> None:
    gone = Claim(1, 1)
    assert plan(Sharing({}, {OF_PORTAL: 1000}), {gone: OwnJob(None, 0, 0)}) == {}


def test_shares_are_those_of_the_rows_after_they_were_settled(
    budget: Callable[..., None], claimed: Callable[..., Claim]
) -> None:
    budget("10M")
    claim = claimed()
    grants = bandwidth_sharing.settle({claim: OwnJob(wanted=None, allowed=0, most=0)})
    assert grants == {claim: Grant(10 * MIB, 10 * MIB, 10 * MIB)}
    (usage,) = bandwidth_sharing.read_sharing().jobs.values()
    assert usage.granted == 10 * MIB
