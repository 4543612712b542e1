"""The queue in the database: what a worker claims next, what it must leave, what the row says."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, insert, select, update
from sqlalchemy.engine.interfaces import CacheStats

from portal.db.session import read_connection, session
from portal.models import Job, Remote, Role
from portal.services.accounts import users
from portal.services.actor import Actor
from portal.services.jobs import (
    blocking,
    claims,
    control,
    limits,
    queue_position,
    reports,
    scheduler,
)
from portal.services.jobs.claims import Claim
from portal.services.jobs.reports import Ending
from portal.services.runtime import Runtime
from portal.transfers import scheduling
from portal.transfers.scheduling import Priority, QueuedJob
from tests.support.applications import engine_of
from tests.support.client import Browser
from tests.support.transfers import stored


@pytest.fixture
def new(new_job: Callable[..., int], root: Path) -> Callable[..., int]:
    """A job that is in nobody's way."""
    numbers = iter(range(10_000))
    return lambda **options: new_job(**{"destination": root / f"to {next(numbers)}", **options})


@pytest.fixture
def configured(app: Flask) -> Callable[..., None]:
    def change(**changes: Any) -> None:
        runtime = app.context[Runtime]
        object.__setattr__(runtime, "settings", runtime.settings.model_copy(update=changes))

    return change


@pytest.fixture
def nas(app: Flask) -> int:
    """A storage of which two jobs may run at a time."""
    row = Remote(name="nas", backend="sftp", options={"host": "192.0.2.1"}, secrets={})
    row.role, row.start, row.changed_by, row.max_jobs = Role.OPERATOR, "", "alice", 2
    session.add(row)
    session.commit()
    number = row.id
    session.remove()
    return number


def take(pools: scheduler.Pools | None = (None,), **options: Any) -> int | None:
    """Claims the next job as a worker does."""
    job = scheduler.find_next(pools, **options)
    if job is None:
        return None
    assert scheduler.claim(job, "test:1") is not None
    session.remove()
    return job.job_id


def take_all(**options: Any) -> list[int]:
    return list(iter(lambda: take(**options), None))


def end(job_id: int) -> None:
    reports.finish(Claim(job_id, stored(job_id).attempt), Ending(True, None, 0), None)
    session.remove()


def ask(browser: Browser, path: str, body: dict[str, Any]) -> Any:
    return browser.client.post(path, json=body, headers={"X-CSRFToken": browser.token()})


def why(browser: Browser, job_id: int) -> Any:
    return browser.get(f"/api/v1/jobs/{job_id}").json["waiting_for"]


# --- the order ----------------------------------------------------------------------------------


def test_owner_with_the_fewest_running_jobs_is_next_and_of_his_jobs_the_oldest(
    new: Callable[..., int],
) -> None:
    flood = [new(owner="bob") for _ in range(5)]
    late = [new(owner="alice") for _ in range(2)]
    assert take_all() == [flood[0], late[0], flood[1], late[1], *flood[2:]]


def test_higher_priority_is_next_whoever_has_more_running(
    new: Callable[..., int], user: Any
) -> None:
    first, second, third = (new(owner="bob") for _ in range(3))
    other = new(owner="alice")
    control.prioritise(third, Priority.HIGH, actor=Actor(user("alice")))
    control.prioritise(first, Priority.LOW, actor=Actor(user("alice")))
    assert take_all() == [third, other, second, first]


def test_job_of_a_pool_is_left_to_its_workers(new: Callable[..., int]) -> None:
    plain, site = new(), new(pool="site-b")
    assert take_all(pools=["site-c"]) == []
    assert take_all(pools=["site-b"]) == [site]
    assert take_all(pools=[None]) == [plain]


def test_one_process_takes_the_jobs_of_every_pool_by_age(new: Callable[..., int]) -> None:
    ids = [new(pool=pool) for pool in ("site-b", None, "site-c")]
    assert take_all(pools=None) == ids


def test_paused_job_is_left_until_it_is_resumed(new: Callable[..., int], user: Any) -> None:
    job_id, other = new(), new()
    session.execute(update(Job).where(Job.id == job_id).values(paused_at=Job.created_at))
    session.commit()
    assert take_all() == [other]
    control.resume(job_id, actor=Actor(user("bob")))
    assert take_all() == [job_id]


def test_job_behind_many_that_wait_for_one_folder_is_found(
    new: Callable[..., int], root: Path
) -> None:
    ids = [new(destination=root / "same") for _ in range(60)]
    free = new()
    assert take_all() == [ids[0], free]
    end(ids[0])
    assert take() == ids[1]


@pytest.mark.one_process
def test_look_past_many_that_wait_for_one_folder_takes_few_statements(
    app: Flask, new: Callable[..., int], root: Path
) -> None:
    ids = [new(destination=root / "same") for _ in range(110)]
    assert take() == ids[0]
    read: list[str] = []
    event.listen(engine_of(app), "before_cursor_execute", lambda *told: read.append(told[2]))
    assert scheduler.find_next(None) is None
    assert len(read) < 16, "\n".join(read)
    free = new()
    assert take() == free


def test_older_job_is_found_behind_a_younger_one_that_waits_for_it(
    new: Callable[..., int], root: Path
) -> None:
    """bob has one running, so that bella's job is tried first; it waits for his older one."""
    running = new(owner="bob")
    assert take() == running
    older, younger = (new(owner=owner, destination=root / "same") for owner in ("bob", "bella"))
    assert take_all() == [older]
    end(older)
    assert take() == younger


def test_owner_at_the_limit_costs_no_look_through_all_his_jobs(
    app: Flask, new: Callable[..., int], configured: Any
) -> None:
    configured(max_running_jobs_per_user=1)
    mine = [new(owner="bob") for _ in range(30)]
    assert take() == mine[0]
    read: list[str] = []
    event.listen(engine_of(app), "before_cursor_execute", lambda *told: read.append(told[2]))
    assert scheduler.find_next([None]) is None
    assert len(read) < 8, "\n".join(read)
    hers = new(owner="bella")
    assert take() == hers


def test_queue_and_rule_agree_on_any_queue(
    app: Flask, new: Callable[..., int], nas: int, user: Any, root: Path
) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    owners = [user(name).id for name in ("alice", "bob", "bella")]
    session.remove()
    ids = [new() for _ in range(40)]
    for job_id in ids:
        values = {
            "owner_id": chance.choice(owners),
            "priority": chance.choice([-1, 0, 0, 0, 1]),
            "source_remote_id": chance.choice([None, None, nas]),
            "first_try_id": chance.choice([job_id, chance.choice(ids)]),
        }
        session.execute(update(Job).where(Job.id == job_id).values(**values))
    session.commit()
    session.remove()
    while True:
        with read_connection() as connection:
            load = limits.read_load(connection)
            rows = connection.execute(
                select(Job.id, Job.owner_id, Job.priority, Job.first_try_id, Job.source_remote_id)
                .where(Job.status == "queued")
                .order_by(Job.created_at)
            ).all()
        queue = [
            QueuedJob(*row[:4], remotes=(row.source_remote_id,) if row.source_remote_id else ())
            for row in rows
        ]
        expected = scheduling.next_job(queue, load)
        found = scheduler.find_next([None])
        assert found == expected
        if found is None:
            break
        # As a claim does; the remote of these jobs is only a number.
        session.execute(update(Job).where(Job.id == found.job_id).values(status="running"))
        session.commit()
        session.remove()
    assert len(queue) < 40


@pytest.mark.one_process
def test_look_reads_as_many_rows_of_10_000_as_of_100(app: Flask, new: Callable[..., int]) -> None:
    """It walks along the index, and never through the queue."""
    job_id = new()
    with read_connection() as connection:
        found = connection.execute(select(Job.__table__).where(Job.id == job_id)).one()
    template = dict(found._mapping)
    steps: list[int] = []
    for first, number in ((1000, 100), (2000, 9900)):
        rows = [
            template | {"id": job_id, "first_try_id": job_id, "source_key": None}
            for job_id in range(first, first + number)
        ]
        session.execute(insert(Job.__table__), rows)
        session.commit()
        session.remove()
        scheduler.find_next(None)  # knows the pools from here on
        steps.append(_instructions(lambda: scheduler.find_next(None)))
    assert steps[1] <= steps[0] * 1.2, steps


#: Statements for a job that uses no places, and for one that does: those about its places, and
#: which others overlap with them.
@pytest.mark.one_process
@pytest.mark.parametrize(("operation", "most"), [("check", 18), ("copy", 20)])
def test_claim_and_end_of_a_job_take_few_statements_and_make_none_anew(
    app: Flask, new: Callable[..., int], operation: str, most: int
) -> None:
    for _ in range(3):
        new(operation=operation)
    contexts: list[Any] = []
    event.listen(engine_of(app), "before_cursor_execute", lambda *told: contexts.append(told[4]))
    for _ in range(3):
        contexts.clear()
        job = scheduler.find_next([None])
        assert job is not None
        claimed = scheduler.claim(job, "test:1")
        assert claimed is not None
        reports.finish(Claim(claimed.id, claimed.attempt), Ending(True, None, 0), None)
        session.remove()
    assert 0 < len(contexts) <= most
    compiled = [one for one in contexts if one.compiled]
    made_anew = {one.statement for one in compiled if one.cache_hit != CacheStats.CACHE_HIT}
    assert not made_anew
    assert stored(claimed.id).status == "completed"


def _instructions(act: Callable[[], object]) -> int:
    """How many hundreds of instructions of SQLite's machine it takes."""
    counted = 0

    def begin(connection: Any, *_: Any) -> None:
        def one() -> int:
            nonlocal counted
            counted += 1
            return 0

        connection.connection.driver_connection.set_progress_handler(one, 100)

    with read_connection() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", begin)
    act()
    event.remove(engine, "before_cursor_execute", begin)
    return counted


# --- limits -------------------------------------------------------------------------------------


def test_no_more_jobs_of_a_storage_run_than_it_allows_and_the_row_says_so(
    new: Callable[..., int], nas: int, browser: Any
) -> None:
    ids = [
        new(source=f"nas:{number}", source_remote_id=nas, destination_remote_id=None)
        for number in range(3)
    ]
    other = new()
    assert take_all() == [ids[0], ids[1], other]
    bob = browser("bob")
    assert why(bob, ids[2]) == {"reason": "remote_limit", "job_id": None}
    assert "waits: nas allows 2 at a time" in bob.get("/jobs").text
    end(ids[0])
    assert take() == ids[2]


def test_no_more_jobs_of_a_user_run_than_are_allowed_and_the_row_says_so(
    new: Callable[..., int], configured: Any, browser: Any
) -> None:
    configured(max_running_jobs_per_user=2)
    ids = [new(owner="bob") for _ in range(3)]
    other = new(owner="alice")
    assert set(take_all()) == {ids[0], ids[1], other}
    bob = browser("bob")
    assert why(bob, ids[2]) == {"reason": "user_limit", "job_id": None}
    assert "waits: bob has 2 running" in bob.get(f"/jobs/{ids[2]}").text
    end(ids[0])
    assert take() == ids[2]


def test_limit_below_what_runs_stops_nothing_and_starts_nothing(
    new: Callable[..., int], nas: int, configured: Any
) -> None:
    ids = [new(source=f"nas:{n}", source_remote_id=nas) for n in range(3)]
    assert take_all() == ids[:2]
    session.execute(update(Remote).values(max_jobs=1))
    session.commit()
    end(ids[0])
    assert take() is None
    assert stored(ids[1]).status == "running"
    end(ids[1])
    assert take() == ids[2]


def test_claims_at_once_exceed_no_limit(
    app: Flask, new: Callable[..., int], nas: int, configured: Any
) -> None:
    configured(max_running_jobs_per_user=3)
    ids = [new(source=f"nas:{n}", source_remote_id=nas) for n in range(6)]
    ids += [new() for _ in range(6)]
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for job_id in ids:
            scheduler.claim(job_id, "test:1")
            session.remove()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    running = [stored(job_id) for job_id in ids if stored(job_id).status == "running"]
    assert len(running) == 3
    assert sum(job.source_remote_id == nas for job in running) <= 2


def test_user_with_too_many_open_jobs_gets_no_more_until_one_ends(
    new: Callable[..., int], configured: Any, browser: Any, root: Path
) -> None:
    configured(max_open_jobs_per_user=3)
    ids = [new(owner="bob") for _ in range(3)]
    bob, alice = browser("bob"), browser("alice")
    fields = {"name": "One more", "operation": "copy"}
    fields |= {"source": str(root), "destination": str(root / "more")}
    (root / "from").mkdir(exist_ok=True)
    fields["source"] = str(root / "from")
    refused = bob.post("/jobs", fields)
    assert refused.status_code == 429
    assert "You have 3 open jobs, as many as one user may have." in refused.text
    assert 'value="One more"' in refused.text, "what was typed stays"
    problem = ask(bob, "/api/v1/jobs", fields)
    assert (problem.status_code, problem.json["status"]) == (429, 429)
    assert "as many as one user may have" in problem.json["detail"]
    assert bob.get("/api/v1/jobs").json["total"] == 3
    assert alice.post("/jobs", fields | {"destination": str(root / "hers")}).status_code == 303
    assert take() == ids[0]
    end(ids[0])
    assert bob.post("/jobs", fields).status_code == 303


# --- slots of paused jobs -----------------------------------------------------------------------


def test_paused_job_without_a_slot_counts_for_nobody_and_a_resumed_one_does_at_once(
    new: Callable[..., int], configured: Any, user: Any, browser: Any
) -> None:
    configured(max_running_jobs_per_user=1)
    paused, other, third = (new(owner="bob") for _ in range(3))
    assert take_all() == [paused]
    bob = Actor(user("bob"))
    claim = Claim(paused, 1)
    assert not claims.release_slot(claim), "it is not paused"
    control.pause(paused, actor=bob)
    assert claims.release_slot(claim)
    assert claims.release_slot(claim), "the answer may have been lost: asked again"
    assert take_all() == [other]
    control.resume(paused, actor=bob)
    assert not claims.take_slot(claim), "its owner is at the limit"
    assert why(browser("bob"), paused) == {"reason": "user_limit", "job_id": None}
    assert "Waits for a slot" in browser("bob").get(f"/jobs/{paused}").text
    end(other)
    assert take() is None, "the next slot is for the resumed one"
    assert claims.take_slot(claim)
    assert stored(paused).slot_released_at is None
    end(paused)
    assert take() == third


def test_resumed_job_that_waits_for_a_slot_alone_says_so(
    new: Callable[..., int], configured: Any, user: Any, browser: Any, nas: int
) -> None:
    configured(max_running_jobs_per_user=1)
    resumed = new(owner="bob")
    assert take() == resumed
    _let_go(resumed, Actor(user("bob")))
    assert why(browser("bob"), resumed) == {"reason": "slot", "job_id": None}


def test_resumed_job_of_a_user_who_lost_the_right_holds_up_nobody(
    new: Callable[..., int], user: Any, nas: int
) -> None:
    resumed, other, third = (
        new(owner=owner, source="", source_remote_id=nas) for owner in ("bella", "bob", "bob")
    )
    assert take_all() == [resumed, other]
    _let_go(resumed, Actor(user("alice")))
    assert take() is None, "nas allows two, and a slot will be for the resumed one"
    users.set_active(user("bella").id, False, actor=Actor(user("alice")))
    assert not claims.take_slot(Claim(resumed, 1))
    assert take() == third


def _let_go(job_id: int, actor: Actor) -> None:
    """The job is paused, gives its slot back, and is resumed."""
    control.pause(job_id, actor=actor)
    assert claims.release_slot(Claim(job_id, 1))
    control.resume(job_id, actor=actor)


def test_slot_is_not_taken_for_a_claim_that_is_lost(new: Callable[..., int], user: Any) -> None:
    job_id = new()
    assert take() == job_id
    bob = Actor(user("bob"))
    control.pause(job_id, actor=bob)
    assert not claims.release_slot(Claim(job_id, 7))
    assert claims.release_slot(Claim(job_id, 1))
    control.resume(job_id, actor=bob)
    assert not claims.take_slot(Claim(job_id, 7))
    control.cancel(job_id, actor=bob)
    assert not claims.take_slot(Claim(job_id, 1))


# --- priority -----------------------------------------------------------------------------------


def test_admin_lets_a_job_run_next_from_its_row_and_everybody_sees_it(
    new: Callable[..., int], browser: Any, events: Any
) -> None:
    ids = [new(owner="bob") for _ in range(3)]
    alice, bob = browser("alice"), browser("bob")
    assert "Run next" not in bob.get("/jobs").text
    assert alice.get("/jobs").text.count(">Run next<") == 3
    row = alice.post(f"/jobs/{ids[2]}/priority", {"priority": "1"}, headers={"HX-Request": "true"})
    assert row.status_code == 200
    assert "next, high priority" in row.text
    shown = bob.get(f"/api/v1/jobs/{ids[2]}").json
    assert (shown["priority"], shown["queue_place"]) == (1, 1)
    assert bob.get(f"/api/v1/jobs/{ids[0]}").json["queue_place"] == 2
    assert any(one.name == "jobs_changed" or ids[2] == one.data.get("job_id") for one in events.all)
    audit = alice.get("/audit").text
    assert "job.priority" in audit
    assert "from normal to high" in audit
    assert take() == ids[2]


@pytest.mark.parametrize("wrong", ["", "2", "-2", "high", "1.0", "1e0", "١"])
def test_wrong_priority_is_refused_and_changes_nothing(
    new: Callable[..., int], browser: Any, wrong: str
) -> None:
    job_id = new()
    alice = browser("alice")
    assert alice.post(f"/jobs/{job_id}/priority", {"priority": wrong}).status_code == 422
    answer = ask(alice, f"/api/v1/jobs/{job_id}/priority", {"priority": wrong})
    assert answer.status_code == 422
    assert stored(job_id).priority == 0


def test_only_admins_set_priorities(new: Callable[..., int], browser: Any) -> None:
    job_id = new(owner="bob")
    for name in ("bob", "charlie"):
        answer = browser(name).post(f"/jobs/{job_id}/priority", {"priority": "1"})
        assert answer.status_code == 403
    assert stored(job_id).priority == 0


def test_priority_of_a_running_job_interrupts_nothing_and_of_one_that_ended_is_refused(
    new: Callable[..., int], browser: Any
) -> None:
    job_id = new()
    assert take() == job_id
    alice = browser("alice")
    assert alice.post(f"/jobs/{job_id}/priority", {"priority": "-1"}).status_code == 303
    assert (stored(job_id).status, stored(job_id).priority) == ("running", -1)
    end(job_id)
    assert alice.post(f"/jobs/{job_id}/priority", {"priority": "1"}).status_code == 409


def test_job_of_a_higher_priority_goes_first_into_the_same_folder(
    new: Callable[..., int], root: Path, user: Any
) -> None:
    old, urgent = new(destination=root / "to"), new(destination=root / "to/in")
    control.prioritise(urgent, Priority.HIGH, actor=Actor(user("alice")))
    with read_connection() as connection:
        assert {
            job: one.job_id for job, one in blocking.blockers(connection, [old, urgent]).items()
        } == {old: urgent}
    assert take_all() == [urgent]
    control.prioritise(old, Priority.HIGH, actor=Actor(user("alice")))
    assert take() is None, "nobody starts beside one that runs"
    end(urgent)
    assert take() == old


# --- positions ----------------------------------------------------------------------------------


def test_positions_are_the_order_in_which_the_jobs_will_run(
    app: Flask, new: Callable[..., int], browser: Any
) -> None:
    running = [new(owner="bob"), new(owner="bob")]
    assert take_all() == running
    ids = [new(owner="bob") for _ in range(3)] + [new(owner="alice") for _ in range(4)]
    alice = browser("alice")
    shown = {job["id"]: job["queue_place"] for job in alice.get("/api/v1/jobs").json["items"]}
    by_position = sorted(ids, key=lambda job_id: shown[job_id])
    assert by_position == [ids[3], ids[4], ids[0], ids[5], ids[1], ids[6], ids[2]]
    with read_connection() as connection:
        order = [job.job_id for job in scheduler.in_order(connection, [None])]
    assert order == by_position


def test_list_of_queued_jobs_is_the_queue_in_its_order_on_every_page(
    app: Flask, new: Callable[..., int], browser: Any
) -> None:
    ids = [new(owner="bob") for _ in range(4)] + [new(owner="alice") for _ in range(2)]
    paused = new(owner="bob")
    session.execute(update(Job).where(Job.id == paused).values(paused_at=Job.created_at))
    session.commit()
    order = [ids[0], ids[4], ids[1], ids[5], ids[2], ids[3], paused]
    bob = browser("bob")
    seen = []
    for page in (1, 2, 3):
        answer = bob.get(f"/api/v1/jobs?status=queued&per_page=3&page={page}")
        seen += [job["id"] for job in answer.json["items"]]
    assert seen == order
    rows = re.findall(r'data-job="(\d+)"', bob.get("/jobs?status=queued").text)
    assert [int(row) for row in rows] == order


def test_position_far_behind_is_not_counted(
    app: Flask, new: Callable[..., int], monkeypatch: pytest.MonkeyPatch, browser: Any
) -> None:
    monkeypatch.setattr(queue_position, "MAX_POSITION", 2)
    ids = [new() for _ in range(3)]
    bob = browser("bob")
    assert [bob.get(f"/api/v1/jobs/{job_id}").json["queue_place"] for job_id in ids] == [1, 2, None]
    assert "far back in the queue" in bob.get(f"/jobs/{ids[2]}").text


def test_order_of_a_long_queue_is_read_in_parts(app: Flask, new: Callable[..., int]) -> None:
    ids = [new() for _ in range(scheduler._FIRST_BATCH * 2 + 3)]
    with read_connection() as connection:
        assert [job.job_id for job in scheduler.in_order(connection, [None])] == ids
        first = list(islice(scheduler.in_order(connection, [None]), 2))
    assert [job.job_id for job in first] == ids[:2]
    assert Counter(job.owner_id for job in first) == {first[0].owner_id: 2}
