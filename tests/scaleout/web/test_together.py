"""Two web processes are one portal: what happens in one of them, the clients of both learn."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from portal.services.accounts.sign_in_limits import ACCOUNT
from tests.shipped import environment as shipped
from tests.support.parts import Postgres, Redis
from tests.support.people import Person
from tests.support.portal_server import START_SECONDS
from tests.support.project import ROOT
from tests.support.sockets import Listener, listening
from tests.support.waiting import wait_for
from tests.support.web_processes import (
    Web,
    new_job,
    scale_out,
    status_of,
    statuses_heard,
    worker_of,
)

pytestmark = pytest.mark.faults

#: What is promised for the word of an ended session, and for live events after Redis is back.
WORD, BACK = 1.0, 5.0
#: How many times that each single round may take on a machine that does other things as well.
NOISE = 5


def sockets_of(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    found = 0
    for entry in folder.iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue
    return found


@contextmanager
def in_each_process(web: Web, person: Person) -> Iterator[list[Listener]]:
    """Clients of the person, until every process serves one of them at least."""
    before = {pid: sockets_of(pid) for pid in web.children()}
    with ExitStack() as open_ones:
        made: list[Listener] = []
        while any(sockets_of(pid) <= before[pid] for pid in before) or len(made) < 2:
            assert len(made) < 40, "the kernel sends everybody to one process"
            made.append(open_ones.enter_context(listening(person)))
        yield made


@pytest.fixture(scope="module")
def alice(web: Web) -> Person:
    return Person(web, "alice")


def number_of(alice: Person, name: str) -> str:
    page = alice.get(f"/users?q={name}").text
    return page.partition('action="/users/')[2].partition("/")[0]


def all_told(listeners: list[Listener], reason: str) -> bool:
    return all(
        one.disconnected and one.events("session_ended") == [{"reason": reason}]
        for one in listeners
    )


def seconds_until_signed_out(web: Web, alice: Person, act: str) -> float:
    """From the answer to the act until the last of bella's clients, some in each process, has
    heard of it and is closed. What it takes longer than it may fails at once."""
    bella = Person(web, "bella")
    number = number_of(alice, "bella")
    undo: dict[str, Any] = {}
    with in_each_process(web, bella) as listeners:
        if act == "logout":
            answer = bella.post("/logout")
        elif act == "role_changed":
            answer = alice.post(f"/users/{number}/role", role="viewer")
            undo = {"path": f"/users/{number}/role", "role": "operator"}
        else:
            answer = alice.post(f"/users/{number}/disable")
            undo = {"path": f"/users/{number}/enable"}
        answered = time.monotonic()
        assert answer.status_code == 303
        wait_for(lambda: all_told(listeners, act), NOISE * WORD)
        took = time.monotonic() - answered
    if undo:
        assert alice.post(**undo).status_code == 303
    return took


@pytest.mark.exclusive
@pytest.mark.parametrize("act", ["logout", "role_changed", "disabled"])
def test_end_of_a_session_reaches_its_sockets_in_every_process_within_a_second(
    web: Web, alice: Person, act: str
) -> None:
    assert seconds_until_signed_out(web, alice, act) < WORD


def test_guesses_are_counted_by_all_processes_together(web: Web) -> None:
    begun = time.monotonic()
    codes = [Person(web).sign_in("bella", "wrong").status_code for _ in range(24)]
    waited = math.log2(time.monotonic() - begun + 1)  # 1 s for a try more, 2 s for the next, 4 …

    assert set(codes) == {401, 429}
    assert ACCOUNT.free <= codes.count(401) <= ACCOUNT.free + waited + 1 < 2 * ACCOUNT.free
    wait_for(lambda: Person(web).sign_in("bella").status_code == 303, 2**waited + 60)


def test_events_of_a_job_reach_the_clients_of_every_process(web: Web) -> None:
    bob = Person(web, "bob")
    with worker_of(web), in_each_process(web, bob) as listeners:
        job = new_job(web, bob, "heard by all")
        wait_for(lambda: status_of(bob, job) == "completed", 30)
        for one in listeners:
            wait_for(
                lambda one=one: (
                    "completed"  # type: ignore[misc]
                    in [
                        event["new_status"]
                        for event in one.events("job_status_change")
                        if event["job_id"] == job
                    ]
                )
            )


def test_admins_hear_in_every_process_that_a_worker_came_and_what_was_asked_of_it(
    web: Web, alice: Person
) -> None:
    with in_each_process(web, alice) as admins, worker_of(web):
        wait_for(lambda: all(one.events("refresh") for one in admins))
        before = [len(one.events("refresh")) for one in admins]
        present = alice.get("/workers").text.partition('action="/workers/')[2].partition("/")[0]
        assert alice.post(f"/workers/{present}/resume").status_code == 303
        wait_for(
            lambda: all(
                len(one.events("refresh")) > told for one, told in zip(admins, before, strict=True)
            )
        )


def test_without_redis_pages_sign_in_new_jobs_and_cancels_go_on(web: Web, redis: Redis) -> None:
    bob = Person(web, "bob")
    with worker_of(web), in_each_process(web, bob) as listeners:
        redis.kill()
        wait_for(lambda: all(delays(one)[-1:] == [True] for one in listeners), 15)
        stranger = Person(web)
        assert stranger.get("/readyz").json()["parts"]["queue"].startswith("Redis does not answer")
        assert stranger.get("/healthz").status_code == 200
        bella = Person(web, "bella")
        begun = time.monotonic()
        kept, dropped = new_job(web, bella, "kept"), new_job(web, bella, "dropped")
        assert bella.post(f"/jobs/{dropped}/cancel").status_code in (303, 409)
        assert time.monotonic() - begun < 5
        assert status_of(bella, dropped) in ("cancelled", "cancelling", "completed")
        assert not any(one.disconnected for one in listeners)

        redis.start()
        back = time.monotonic()
        wait_for(lambda: all(delays(one)[-1:] == [False] for one in listeners), 2 * BACK)
        wait_for(lambda: status_of(bella, kept) == "completed", 30)
        assert time.monotonic() - back < 30
        later = new_job(web, bella, "later")
        wait_for(lambda: status_of(bella, later) == "completed", 20)
        for one in listeners:
            wait_for(lambda one=one: received_end_of(one, later))  # type: ignore[misc]


def test_web_that_starts_while_redis_is_down_says_so_and_is_live_when_it_is_there(
    web: Web, module_database: str, redis: Redis, tmp_path: Path
) -> None:
    key = (web.data / "secret_key").read_text()
    redis.kill()
    early = scale_out(tmp_path, module_database, redis.url, PORTAL_SECRET_KEY=key)
    early.start()
    try:
        bob = Person(early, "bob")
        queue = Person(early).get("/readyz").json()["parts"]["queue"]
        assert queue.startswith("Redis does not answer")
        with in_each_process(early, bob) as listeners:
            wait_for(lambda: all(delays(one)[-1:] == [True] for one in listeners))
            redis.start()
            wait_for(lambda: all(delays(one)[-1:] == [False] for one in listeners), BACK)
            job = new_job(early, bob, "late")
            assert bob.post(f"/jobs/{job}/cancel").status_code == 303
            for one in listeners:
                wait_for(lambda one=one: "cancelled" in statuses_heard(one, job))  # type: ignore[misc]
    finally:
        early.clean_up()


def test_web_that_starts_without_its_database_says_so_and_ends(
    redis: Redis, tmp_path: Path
) -> None:
    nowhere = scale_out(tmp_path, "postgresql://postgres@127.0.0.1:1/portal", redis.url)
    command = [shipped.python(), "manage.py", "run", "--processes", "2"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=shipped.environment(nowhere.environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Error: PORTAL_DATABASE_URL: the database cannot be used: " in done.stderr
    assert "Traceback" not in done.stderr


def delays(listener: Listener) -> list[bool]:
    return [event["delayed"] for event in listener.events("live_delayed")]


def received_end_of(listener: Listener, job: int) -> bool:
    return "completed" in statuses_heard(listener, job)


def test_death_of_one_process_leaves_the_clients_of_the_other_and_takes_those_back(
    web: Web,
) -> None:
    bob = Person(web, "bob")
    with in_each_process(web, bob) as listeners:
        victim = web.children()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: any(one.disconnected for one in listeners))
        assert not all(one.disconnected for one in listeners)
        assert bob.get("/jobs").status_code == 200
        with listening(bob) as again:
            assert again.ask("subscribe", {"topics": ["progress"]})["role"] == "operator"
    wait_for(web.is_whole, START_SECONDS)


def test_users_and_jobs_are_there_after_every_process_was_killed_at_once(
    web: Web, postgres: Postgres
) -> None:
    bob = Person(web, "bob")
    job = new_job(web, bob, "survives")
    for child in web.children():
        os.kill(child, signal.SIGKILL)
    wait_for(lambda: answers(bob), START_SECONDS)

    assert status_of(bob, job) == "queued"
    assert bob.post(f"/jobs/{job}/cancel").status_code == 303


def answers(person: Person) -> bool:
    try:
        return person.get("/jobs").status_code == 200
    except OSError:
        return False
