"""Two web processes are one portal: what happens in one of them, the clients of both learn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.browser.portal_server import ROOT, START_SECONDS
from tests.conftest import wait_for
from tests.parts import Postgres, Redis
from tests.scaleout_web.web import Web
from tests.server import Listener, Person, listening
from tests.transfers import fill

pytestmark = pytest.mark.faults

#: What is promised for the word of an ended session, and for live events after Redis is back.
WORD, BACK = 1.0, 5.0


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
    page = alice.ask(f"/users?q={name}").text
    return page.partition('action="/users/')[2].partition("/")[0]


def all_told(listeners: list[Listener], reason: str) -> bool:
    return all(
        one.disconnected and one.events("session_ended") == [{"reason": reason}]
        for one in listeners
    )


@pytest.mark.parametrize("act", ["logout", "role_changed", "disabled"])
def test_end_of_a_session_reaches_its_sockets_in_every_process(
    web: Web, alice: Person, act: str
) -> None:
    bella = Person(web, "bella")
    number = number_of(alice, "bella")
    with in_each_process(web, bella) as listeners:
        begun = time.monotonic()
        if act == "logout":
            assert bella.fill("/logout").status_code == 303
        elif act == "role_changed":
            assert alice.fill(f"/users/{number}/role", role="viewer").status_code == 303
        else:
            assert alice.fill(f"/users/{number}/disable").status_code == 303
        answered = time.monotonic()
        wait_for(lambda: all_told(listeners, act), (answered - begun) + 3 * WORD)
    if act == "disabled":
        assert alice.fill(f"/users/{number}/enable").status_code == 303
    if act == "role_changed":
        assert alice.fill(f"/users/{number}/role", role="operator").status_code == 303


@contextmanager
def worker_of(web: Web) -> Iterator[None]:
    log = web.root.parent / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker", "--concurrency", "2"],
            cwd=ROOT,
            env={**web.environment, "PORTAL_DATA_DIR": str(web.root.parent / "worker")},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: "Worker " in log.read_text(), START_SECONDS)
        yield
    finally:
        process.terminate()
        process.wait(15)


def new_job(web: Web, person: Person, name: str, **more: str) -> int:
    source = web.root / name
    fill(source)
    answer = person.fill(
        "/jobs",
        name=name,
        operation="copy",
        source=str(source),
        destination=str(web.root / f"{name} copied"),
        **more,
    )
    assert answer.status_code == 303, answer.text
    return int(answer.headers["Location"].rpartition("/")[2])


def status_of(person: Person, job: int) -> str:
    return person.ask(f"/api/jobs/{job}/progress").text.partition('data-status="')[2].split('"')[0]


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


def test_without_redis_pages_sign_in_new_jobs_and_cancels_go_on(web: Web, redis: Redis) -> None:
    bob = Person(web, "bob")
    with worker_of(web), in_each_process(web, bob) as listeners:
        redis.kill()
        wait_for(lambda: all(delays(one)[-1:] == [True] for one in listeners), 15)
        stranger = Person(web)
        assert stranger.ask("/readyz").json()["parts"]["queue"].startswith("Redis does not answer")
        assert stranger.ask("/healthz").status_code == 200
        bella = Person(web, "bella")
        begun = time.monotonic()
        kept, dropped = new_job(web, bella, "kept"), new_job(web, bella, "dropped")
        assert bella.fill(f"/jobs/{dropped}/cancel").status_code in (303, 409)
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
            wait_for(lambda one=one: heard_end_of(one, later))  # type: ignore[misc]


def delays(listener: Listener) -> list[bool]:
    return [event["delayed"] for event in listener.events("live_delayed")]


def heard_end_of(listener: Listener, job: int) -> bool:
    return (job, "completed") in [
        (event["job_id"], event["new_status"]) for event in listener.events("job_status_change")
    ]


def test_death_of_one_process_leaves_the_clients_of_the_other_and_takes_those_back(
    web: Web,
) -> None:
    bob = Person(web, "bob")
    with in_each_process(web, bob) as listeners:
        victim = web.children()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: any(one.disconnected for one in listeners))
        assert not all(one.disconnected for one in listeners)
        assert bob.ask("/jobs").status_code == 200
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
    assert bob.fill(f"/jobs/{job}/cancel").status_code == 303


def answers(person: Person) -> bool:
    try:
        return person.ask("/jobs").status_code == 200
    except OSError:
        return False
