"""Any order of acts and reports: each change conditional, counted, told once and in order."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from portal.db.session import session
from portal.engine import Progress
from portal.errors import Conflict
from portal.models import Job, JobEvent
from portal.services.actor import Actor
from portal.services.jobs import claims, control, reports, rescue
from portal.services.jobs.claims import Claim, ClaimStatus
from portal.services.jobs.reports import Ending
from portal.services.jobs.transitions import job_transaction, transition
from portal.transfers.states import FINAL, JobStatus, may_follow
from tests.support.transfers import (
    Recorder,
    counted_bytes,
    history,
    miscounted,
    miscounted_totals,
    reading,
    standing,
    stored,
    tell,
    whole_row,
)

FIGURES = "The figures are those of its last report; more may have been done."
ENDINGS = {True: Ending(True, None, 0), False: Ending(False, "It broke.", 1, ("line",))}
EDGES = {
    "queued": {"running", "cancelled"},
    "running": {"completed", "failed", "cancelling", "interrupted", "queued"},
    "cancelling": {"cancelled"},
    "interrupted": {"queued", "failed", "cancelled"},
    "completed": set(),
    "failed": set(),
    "cancelled": set(),
}


def test_the_table_of_states_is_the_one_of_the_contract() -> None:
    assert {
        str(old): {str(new) for new in JobStatus if may_follow(old, new)} for old in JobStatus
    } == EDGES


def test_a_change_that_may_not_be_is_refused_before_it_is_written(new_job: Any) -> None:
    job_id = new_job()
    with job_transaction(job_id) as writing, pytest.raises(AssertionError):
        transition(writing, job_id, JobStatus.QUEUED, JobStatus.COMPLETED)
    assert history(job_id) == ["queued"]


def test_a_change_of_a_status_that_is_gone_changes_nothing(new_job: Any) -> None:
    job_id = new_job()
    with job_transaction(job_id) as writing:
        assert transition(writing, job_id, JobStatus.RUNNING, JobStatus.COMPLETED) is None
        writing.commit()
    assert (history(job_id), miscounted(), stored(job_id).seq) == (["queued"], {}, 1)


#: Bytes of the last reading of an attempt; None where it has none.
AMOUNTS = strategies.none() | strategies.integers(0, 2**40)


def figures(done: int | None) -> Progress | None:
    return None if done is None else reading(done, 2**40)


class Portal(RuleBasedStateMachine):
    """Every report comes as it likes, also from workers that lost the job long ago."""

    make: Callable[..., int]
    app: Flask
    events: Recorder
    actor: Any

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.status: dict[int, str] = {}
        self.attempt: dict[int, int] = {}
        self.interruptions: dict[int, int] = {}
        self.operation: dict[int, str] = {}
        self.moved: dict[int, int] = {}
        self.before = counted_bytes()  # jobs of earlier runs stay in the tables
        self.untouched: list[tuple[int, tuple[Any, ...]]] = []

    @rule(target=ids, operation=strategies.sampled_from(["copy", "check", "sync", "move"]))
    def create(self, operation: str) -> Any:
        if len(self.status) >= 3:
            return multiple()
        folder = f"/nowhere/{uuid.uuid4()}"  # of its own, or it would wait for another
        job_id = type(self).make(
            operation=operation, source=f"{folder}/from", destination=f"{folder}/to"
        )
        self.status[job_id], self.operation[job_id] = "queued", operation
        self.attempt[job_id] = self.interruptions[job_id] = self.moved[job_id] = 0
        return job_id

    def _report(self, job_id: int, age: int, report: Callable[[int], Any]) -> bool:
        """Whether the report came from the worker that holds the job; if not, nothing changed."""
        attempt = self.attempt[job_id] - age
        holds = age == 0 and self.status[job_id] in ("running", "cancelling")
        before = whole_row(job_id)
        report(attempt)
        if not holds:
            assert whole_row(job_id) == before
        return holds

    @rule(job_id=ids)
    def claim(self, job_id: int) -> None:
        job = claims.claim(job_id, "test:1")
        assert (job is not None) == (self.status[job_id] == "queued")
        if job is not None:
            self.attempt[job_id] += 1
            self.status[job_id] = "running"
            assert job.attempt == self.attempt[job_id]
            assert (job.phase, job.speed_bytes, job.current_files) == (None, 0, [])
            assert job.bytes_transferred == self.moved[job_id]

    @rule(job_id=ids, done=strategies.integers(0, 2**40), age=strategies.sampled_from([0, 0, 1]))
    def progress(self, job_id: int, done: int, age: int) -> None:
        answers: list[ClaimStatus] = []
        holds = self._report(
            job_id,
            age,
            lambda attempt: answers.append(tell(job_id, attempt, reading(done, 2**40))),
        )
        cancelled = self.status[job_id] == "cancelling"
        wanted = (
            (ClaimStatus.CANCELLED if cancelled else ClaimStatus.VALID)
            if holds
            else ClaimStatus.LOST
        )
        assert answers == [wanted]
        if wanted is ClaimStatus.VALID:
            self.moved[job_id] = max(self.moved[job_id], done)
        assert standing(job_id, self.attempt[job_id] - age) is wanted

    @rule(
        job_id=ids,
        succeeded=strategies.booleans(),
        done=AMOUNTS,
        age=strategies.sampled_from([0, 0, 1]),
    )
    def finish(self, job_id: int, succeeded: bool, done: int | None, age: int) -> None:
        end, last = ENDINGS[succeeded], figures(done)
        if self._report(
            job_id, age, lambda attempt: reports.finish(Claim(job_id, attempt), end, last)
        ):
            self.moved[job_id] = max(self.moved[job_id], done or 0)
            running = self.status[job_id] == "running"
            self.status[job_id] = (
                ("completed" if succeeded else "failed") if running else "cancelled"
            )

    @rule(job_id=ids, done=AMOUNTS, age=strategies.sampled_from([0, 1]))
    def give_back(self, job_id: int, done: int | None, age: int) -> None:
        last = figures(done)
        if self._report(job_id, age, lambda attempt: reports.requeue(Claim(job_id, attempt), last)):
            self.moved[job_id] = max(self.moved[job_id], done or 0)
            self.status[job_id] = "queued" if self.status[job_id] == "running" else "cancelled"

    @rule(job_id=ids, done=AMOUNTS)
    def lose_the_database(self, job_id: int, done: int | None) -> None:
        last = figures(done)
        if self._report(
            job_id,
            0,
            lambda attempt: reports.mark_interrupted(Claim(job_id, attempt), "Out of reach.", last),
        ):
            self.moved[job_id] = max(self.moved[job_id], done or 0)
            running = self.status[job_id] == "running"
            self.interruptions[job_id] += running
            self.status[job_id] = "interrupted" if running else "cancelled"

    @rule(job_id=ids, age=strategies.sampled_from([0, 1]))
    def heartbeat(self, job_id: int, age: int) -> None:
        self._report(job_id, age, lambda attempt: claims.heartbeat([Claim(job_id, attempt)]))

    @rule(job_id=ids)
    def cancel(self, job_id: int) -> None:
        with type(self).app.app_context():
            try:
                control.cancel(job_id, actor=Actor(type(self).actor))
            except Conflict:
                assert self.status[job_id] in ("completed", "failed")
                return
        self.status[job_id] = {"running": "cancelling", "cancelling": "cancelling"}.get(
            self.status[job_id], "cancelled"
        )

    @rule()
    def every_worker_dies(self) -> None:
        rescue.recover()
        for job_id, status in self.status.items():
            if status == "cancelling":
                self.status[job_id] = "cancelled"
            elif status == "running":
                self.interruptions[job_id] += 1
                self.status[job_id] = "interrupted"
        self._what_may_goes_on()

    @rule()
    def sweep(self) -> None:
        rescue.requeue_interrupted()
        self._what_may_goes_on()

    def _what_may_goes_on(self) -> None:
        for job_id, status in self.status.items():
            if status == "interrupted" and self.operation[job_id] in ("copy", "check"):
                again = self.interruptions[job_id] <= 3
                self.status[job_id] = "queued" if again else "failed"

    @invariant()
    def the_rows_are_what_was_asked_for(self) -> None:
        for job_id, status in self.status.items():
            job: Job = stored(job_id)
            assert (job.status, job.attempt, job.interruptions) == (
                status,
                self.attempt[job_id],
                self.interruptions[job_id],
            )
            assert (job.finished_at is not None) == self._is_over(job_id)

    @invariant()
    def the_counters_equal_the_table(self) -> None:
        assert miscounted() == {}

    @invariant()
    def dashboard_history_and_jobs_agree_to_the_byte(self) -> None:
        assert {job_id: stored(job_id).bytes_transferred for job_id in self.moved} == self.moved
        sums = counted_bytes()
        ended = {job_id for job_id in self.status if self._is_over(job_id)}
        assert sums.dashboard - self.before.dashboard == sum(self.moved.values())
        assert sums.history - self.before.history == sum(self.moved[job_id] for job_id in ended)

    def _is_over(self, job_id: int) -> bool:
        status = self.status[job_id]
        deletes = self.operation[job_id] in ("sync", "move")
        return JobStatus(status) in FINAL or (status == "interrupted" and deletes)

    @invariant()
    def totals_are_those_of_the_jobs_by_their_status(self) -> None:
        assert miscounted_totals() == {}

    @invariant()
    def every_event_left_once_in_order_and_none_after_the_end(self) -> None:
        for job_id in self.status:
            told = type(self).events.of(job_id)
            assert [event.data["seq"] for event in told] == list(range(1, len(told) + 1))
            assert stored(job_id).seq == len(told)
            changes = type(self).events.statuses(job_id)
            assert ["queued", *changes] == history(job_id)
            for old, new in zip(["queued", *changes], changes, strict=False):
                assert new in EDGES[old]
            if changes and JobStatus(changes[-1]) in FINAL:
                assert told[-1].name == "job_status_change"


def test_no_order_of_acts_and_reports_breaks_a_job(
    app: Flask, new_job: Any, events: Recorder, user: Any
) -> None:
    Portal.app, Portal.events, Portal.actor = app, events, user("alice")
    Portal.make = staticmethod(new_job)
    run_state_machine_as_test(Portal, settings=CALM)


CALM = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_report_of_an_earlier_attempt_changes_nothing(new_job: Any, events: Recorder) -> None:
    job_id = new_job()
    claims.claim(job_id, "lost:1")
    rescue.recover()
    claims.claim(job_id, "test:2")
    before, told = whole_row(job_id), len(events.all)
    assert tell(job_id, 1, reading(9, 10)) is ClaimStatus.LOST
    assert standing(job_id, 1) is ClaimStatus.LOST
    claims.heartbeat([Claim(job_id, 1)])
    reports.requeue(Claim(job_id, 1), reading(9, 10))
    reports.finish(Claim(job_id, 1), ENDINGS[True], reading(9, 10))
    assert (whole_row(job_id), len(events.all)) == (before, told)


def test_fourth_interruption_of_a_copy_is_its_failure(new_job: Any) -> None:
    job_id = new_job()
    for _ in range(4):
        assert claims.claim(job_id, "gone:1") is not None
        rescue.recover()
    job = stored(job_id)
    assert (job.status, job.interruptions, job.attempt) == ("failed", 4, 4)
    assert job.error == "Interrupted 4 times, so the transfer was given up."
    assert history(job_id) == ["queued"] + ["running", "interrupted", "queued"] * 3 + [
        "running",
        "interrupted",
        "failed",
    ]


@pytest.mark.parametrize("operation", ["sync", "move"])
def test_interrupted_job_that_deletes_stays_interrupted(new_job: Any, operation: str) -> None:
    job_id = new_job(operation=operation)
    claims.claim(job_id, "gone:1")
    for _ in range(3):
        rescue.recover()
        rescue.requeue_interrupted()
    job = stored(job_id)
    assert (job.status, job.error) == (
        "interrupted",
        f"The portal stopped while this transfer was running. {FIGURES}",
    )
    newest = select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id.desc())
    last = session.scalars(newest).first()
    assert last is not None
    assert last.note == "the portal stopped"


def test_interrupted_job_shows_no_speed_and_keeps_what_it_has_done(new_job: Any) -> None:
    sync, copy = new_job(operation="sync"), new_job()
    for job_id in (sync, copy):
        job = claims.claim(job_id, "gone:1")
        tell(job_id, job.attempt, reading(500, 1000))
    rescue.recover()
    job = stored(sync)
    assert (job.speed_bytes, job.eta_seconds, job.bytes_transferred) == (0, None, 500)
    job = stored(copy)
    assert (job.status, job.percent, job.bytes_transferred) == ("queued", 50.0, 500)
    assert (job.speed_bytes, job.worker) == (0, None)
