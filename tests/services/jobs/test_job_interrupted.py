"""A sync or move whose worker died has ended: every list and every sum has it, once."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, update

from portal.db.clock import now
from portal.db.session import session, write
from portal.errors import Conflict
from portal.models import HistoryTotal, Job, JobCount, Remote
from portal.services.accounts import api_tokens
from portal.services.actor import Actor
from portal.services.jobs import (
    claims,
    control,
    create,
    history,
    reports,
    rescue,
    statistics,
    totals,
)
from portal.services.jobs.claims import Claim
from portal.services.jobs.history import HistoryFilter
from portal.services.jobs.reports import Ending
from portal.services.jobs.totals import Total
from portal.services.storage import remotes
from portal.transfers.states import ENDINGS
from tests.support.program import Program
from tests.support.transfers import (
    Counted,
    counted_bytes,
    know_the_clocks,
    miscounted,
    miscounted_totals,
    reading,
    status_of,
    stored,
    tell,
)

FIGURES = "The figures are those of its last report; more may have been done."
Left = Callable[..., int]


def of_a_dead_process(job: Job) -> None:
    assert job.worker_id is not None
    rescue.rescue_jobs_of(job.worker_id)


def of_a_silent_worker(job: Job) -> None:
    session.execute(update(Job).values(heartbeat_at=now() - timedelta(minutes=1)))
    session.commit()
    know_the_clocks()
    rescue.sweep(45)


def of_a_worker_without_a_database(job: Job) -> None:
    reports.mark_interrupted(Claim(job.id, job.attempt), "It was out of reach.", None)


def of_a_portal_that_stopped(_job: Job) -> None:
    rescue.recover()


LOSSES = [
    of_a_dead_process,
    of_a_silent_worker,
    of_a_worker_without_a_database,
    of_a_portal_that_stopped,
]


@pytest.fixture
def lost(new_job: Any, worker_process: Any) -> Left:
    """A job whose worker died after this many bytes."""

    def make(operation: str, done: int, lose: Any = of_a_dead_process, **options: Any) -> int:
        job_id: int = new_job(operation=operation, **options)
        job = claims.claim(job_id, "gone:1", worker_process("gone:1"))
        assert job is not None
        tell(job_id, job.attempt, reading(done, 1000))
        lose(stored(job_id))
        return job_id

    return make


@pytest.fixture
def completed(new_job: Any) -> Callable[[int], int]:
    def make(done: int) -> int:
        job_id: int = new_job()
        job = claims.claim(job_id, "test:1")
        assert job is not None
        reports.finish(Claim(job_id, job.attempt), Ending(True, None, 0), reading(done, done))
        return job_id

    return make


@pytest.fixture
def program(app: Flask, user: Any) -> Program:
    end = now() + timedelta(days=1)
    made = api_tokens.create("reader", "read", end, actor=Actor(user("charlie")))
    session.remove()
    return Program(app, made[1])


def rows(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<tr id="history-(\d+)"', page)]


def chips(page: str) -> dict[str, str]:
    return dict(re.findall(r'<a class="chip"[^>]*>(\w+) <span>([\d,]+)</span></a>', page))


def export(charlie: Any, **asked: str) -> list[dict[str, str]]:
    answer = charlie.post("/history/export", asked)
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def ended(total: dict[str, Total]) -> dict[str, int]:
    return {str(status): total[status].jobs for status in ENDINGS if total[status].jobs}


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("operation", ["move", "sync"])
def test_history_has_what_was_interrupted_wherever_it_is_read(
    browser: Any, lost: Left, completed: Any, program: Program, operation: str, lose: Any
) -> None:
    done = completed(300)
    job_id = lost(operation, 500, lose)
    job = stored(job_id)
    assert (job.status, job.bytes_transferred) == ("interrupted", 500)
    assert job.finished_at is not None
    charlie = browser("charlie")

    page = charlie.get("/history").text
    assert rows(page) == [job_id, done]
    counts = {"Completed": "1", "Failed": "0", "Cancelled": "0", "Interrupted": "1"}
    assert chips(page) == {"All": "2"} | counts
    assert "still open" not in page
    lines = export(charlie)
    assert [(line["id"], line["status"], line["bytes"]) for line in lines] == [
        (str(job_id), "interrupted", "500"),
        (str(done), "completed", "300"),
    ]
    assert lines[0]["finished_at"] != ""
    told = program.get("/history").json
    assert [(one["id"], one["status"]) for one in told["items"]] == [
        (job_id, "interrupted"),
        (done, "completed"),
    ]
    assert told["items"][0]["finished_at"] is not None
    assert told["totals"]["interrupted"]["jobs"] == 1
    sums = {status: total["bytes_moved"] for status, total in told["totals"].items()}
    assert sums == {"completed": 300, "failed": 0, "cancelled": 0, "interrupted": 500} | {
        "different": 0
    }
    moved_today = statistics.gather("UTC").moved_today
    assert moved_today == sum(int(line["bytes"]) for line in lines) == sum(sums.values()) == 800
    assert counted_bytes() == Counted(800, 800, 800)
    assert (miscounted(), miscounted_totals()) == ({}, {})


def test_filter_finds_what_was_interrupted_and_nothing_else(
    browser: Any, lost: Left, completed: Any, program: Program
) -> None:
    completed(300)
    job_id = lost("move", 500)
    charlie = browser("charlie")
    page = charlie.get("/history?status=interrupted").text
    assert rows(page) == [job_id]
    assert "1 transfer matches" in page
    assert [line["id"] for line in export(charlie, status="interrupted")] == [str(job_id)]
    found = program.get("/history?status=interrupted")
    assert [one["id"] for one in found.json["items"]] == [job_id]
    assert rows(charlie.get("/history?status=cancelled").text) == []


def test_chip_of_interrupted_transfers_is_there_only_where_it_finds_any(
    browser: Any, completed: Any
) -> None:
    completed(300)
    charlie = browser("charlie")
    assert "Interrupted" not in chips(charlie.get("/history").text)
    asked = charlie.get("/history?status=interrupted").text
    assert chips(asked)["Interrupted"] == "0"
    assert "No finished transfers match." in asked


def test_cancelled_afterwards_it_counts_once_and_at_the_time_when_it_ended(
    browser: Any, lost: Left, program: Program
) -> None:
    other, job_id = lost("sync", 200), lost("move", 500)
    an_hour_ago = now() - timedelta(hours=1)
    before = stored(job_id)
    browser("bob").post(f"/jobs/{job_id}/cancel")
    job = stored(job_id)
    assert (job.status, job.finished_at, job.seconds) == (
        "cancelled",
        before.finished_at,
        before.seconds,
    )
    assert job.finished_at > an_hour_ago
    total = history.total(HistoryFilter())
    assert ended(total) == {"cancelled": 1, "interrupted": 1}
    assert (total["cancelled"].bytes_moved, total["interrupted"].bytes_moved) == (500, 200)
    page = browser("charlie").get("/history").text
    assert sorted(rows(page)) == [other, job_id]
    assert counted_bytes() == Counted(700, 700, 700)
    assert (miscounted(), miscounted_totals()) == ({}, {})
    # Again does no harm.
    browser("bob").post(f"/jobs/{job_id}/cancel")
    assert miscounted_totals() == {}


def test_cancelled_on_a_later_day_it_stays_where_the_history_has_it(
    browser: Any, lost: Left
) -> None:
    job_id = lost("move", 500)
    long_ago = now() - timedelta(days=40)
    as_if_then(job_id, long_ago)
    browser("bob").post(f"/jobs/{job_id}/cancel")
    assert stored(job_id).finished_at == long_ago
    assert ended(history.total(HistoryFilter())) == {"cancelled": 1}
    assert miscounted_totals() == {}


def as_if_then(job_id: int, moment: Any) -> None:
    """Lets the job have ended at this moment, with the totals that this would have left."""
    with write() as tx:
        tx.execute(delete(HistoryTotal))
        job = tx.get_one(Job, job_id)
        job.finished_at = moment
        tx.flush()
        totals.add(tx, job)
        tx.commit()


def test_retry_leaves_it_in_the_history(browser: Any, lost: Left) -> None:
    job_id = lost("move", 500)
    ended_at = stored(job_id).finished_at
    browser("bob").post(f"/jobs/{job_id}/retry")
    job = stored(job_id)
    assert (job.status, job.finished_at) == ("interrupted", ended_at)
    assert status_of(job_id + 1) == "queued"
    assert rows(browser("charlie").get("/history").text) == [job_id]
    assert ended(history.total(HistoryFilter())) == {"interrupted": 1}
    assert miscounted_totals() == {}


def test_retry_that_was_interrupted_as_well_is_over_and_another_one_can_be_made(
    lost: Left, user: Any, worker_process: Any
) -> None:
    job_id = lost("move", 500)
    bob = Actor(user("bob"))
    first = create.retry(stored(job_id), actor=bob).id
    assert create.retry(stored(job_id), actor=bob).id == first, "it is open"
    job = claims.claim(first, "gone:2", worker_process("gone:2"))
    assert job is not None
    of_a_dead_process(stored(first))
    second = create.retry(stored(job_id), actor=bob).id
    assert second not in (job_id, first)
    assert miscounted_totals() == {}


@pytest.mark.parametrize("operation", ["copy", "check"])
def test_what_goes_on_by_itself_is_not_in_the_history_until_it_ends(
    browser: Any, lost: Left, operation: str
) -> None:
    job_id = lost(operation, 500, of_a_worker_without_a_database)
    assert (status_of(job_id), stored(job_id).finished_at) == ("interrupted", None)
    charlie = browser("charlie")
    assert rows(charlie.get("/history").text) == []
    assert charlie.get("/history?status=interrupted").status_code == 200
    assert ended(history.total(HistoryFilter())) == {}
    rescue.requeue_interrupted()
    assert (status_of(job_id), stored(job_id).finished_at) == ("queued", None)
    job = claims.claim(job_id, "test:2")
    assert job is not None
    reports.finish(Claim(job_id, job.attempt), Ending(True, None, 0), reading(900, 900))
    assert rows(charlie.get("/history").text) == [job_id]
    assert ended(history.total(HistoryFilter())) == {"completed": 1}
    assert counted_bytes() == Counted(900, 900, 900)
    assert miscounted_totals() == {}


def test_copy_that_is_cancelled_while_it_is_interrupted_counts_once(
    browser: Any, lost: Left
) -> None:
    job_id = lost("copy", 500, of_a_worker_without_a_database)
    browser("bob").post(f"/jobs/{job_id}/cancel")
    assert ended(history.total(HistoryFilter())) == {"cancelled": 1}
    assert (miscounted(), miscounted_totals()) == ({}, {})


@pytest.mark.parametrize("cancel", [False, True])
def test_job_that_an_older_release_left_interrupted_is_counted_once(
    browser: Any, new_job: Any, cancel: bool
) -> None:
    job_id = new_job(operation="move")
    session.execute(update(Job).values(status="interrupted", bytes_transferred=70))
    session.execute(update(JobCount).where(JobCount.status == "queued").values(jobs=0))
    session.execute(update(JobCount).where(JobCount.status == "interrupted").values(jobs=1))
    session.commit()
    if cancel:
        browser("bob").post(f"/jobs/{job_id}/cancel")
    for _ in range(2):
        rescue.requeue_interrupted()
    assert ended(history.total(HistoryFilter())) == {"cancelled" if cancel else "interrupted": 1}
    assert stored(job_id).finished_at is not None
    assert (miscounted(), miscounted_totals()) == ({}, {})


@pytest.mark.parametrize("lose", [of_a_dead_process, of_a_silent_worker])
@pytest.mark.parametrize("operation", ["move", "sync"])
def test_reason_says_whose_figures_these_are(
    browser: Any, lost: Left, operation: str, lose: Any
) -> None:
    job_id = lost(operation, 500, lose)
    assert stored(job_id).error == f"Its worker stopped responding. {FIGURES}"
    page = browser("charlie").get(f"/jobs/{job_id}").text
    assert page.count(FIGURES) == 1
    assert "a little more" not in page
    assert "(took" in page
    assert export(browser("charlie"))[0]["error"].endswith(FIGURES)


def test_reason_of_a_dry_run_does_not_speak_of_what_it_never_does(lost: Left) -> None:
    assert stored(lost("move", 0, dry_run=True)).error == "Its worker stopped responding."


def test_pause_and_limit_of_what_is_over_are_refused(lost: Left, user: Any) -> None:
    job_id, bob = lost("move", 500), Actor(user("bob"))
    for act in (
        lambda: control.pause(job_id, actor=bob),
        lambda: control.resume(job_id, actor=bob),
        lambda: control.limit(job_id, "1M", actor=bob),
    ):
        with pytest.raises(Conflict, match="interrupted"):
            act()


def test_remote_of_what_is_over_can_be_deleted(lost: Left, user: Any) -> None:
    made = Remote(name="nas", backend="sftp", options={"host": "192.0.2.7"})
    session.add(made)
    session.commit()
    remote = made.id
    job_id = lost("move", 500)
    session.execute(update(Job).values(destination_remote_id=remote))
    session.commit()
    remotes.delete(remote, actor=Actor(user("alice")))
    assert status_of(job_id) == "interrupted"


def to_retry(browser: Any) -> str:
    """As /metrics tells it, by which the alert goes."""
    text: str = browser().get("/metrics").text
    return text.partition("\nportal_jobs_to_retry ")[2].partition("\n")[0]


@pytest.mark.parametrize("operation", ["move", "sync"])
@pytest.mark.parametrize("act", ["retry", "cancel"])
def test_metric_counts_what_waits_for_a_person_until_somebody_acts(
    browser: Any, lost: Left, operation: str, act: str
) -> None:
    assert to_retry(browser) == "0.0"
    job_id = lost(operation, 500)
    other = lost(operation, 500)
    assert to_retry(browser) == "2.0"
    browser("bob").post(f"/jobs/{job_id}/{act}")
    assert to_retry(browser) == "1.0"
    browser("bob").post(f"/jobs/{other}/{act}")
    assert to_retry(browser) == "0.0"


@pytest.mark.parametrize("again", ["the first", "its retry"])
def test_metric_counts_a_retry_that_was_interrupted_until_either_is_retried(
    browser: Any, lost: Left, user: Any, worker_process: Any, again: str
) -> None:
    job_id = lost("move", 500)
    bob = Actor(user("bob"))
    retry = create.retry(stored(job_id), actor=bob).id
    assert claims.claim(retry, "gone:2", worker_process("gone:2")) is not None
    of_a_dead_process(stored(retry))
    assert to_retry(browser) == "1.0"
    create.retry(stored(job_id if again == "the first" else retry), actor=bob)
    assert to_retry(browser) == "0.0"


@pytest.mark.parametrize("operation", ["copy", "check"])
def test_metric_leaves_out_what_goes_on_by_itself(browser: Any, lost: Left, operation: str) -> None:
    lost(operation, 500, of_a_silent_worker)
    assert to_retry(browser) == "0.0"
