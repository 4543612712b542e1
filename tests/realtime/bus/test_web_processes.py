"""Web processes behind one Redis: what one of them or a worker does, the clients of each learn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from portal.realtime.bus.messages import Kind
from portal.realtime.bus.publisher import Publisher
from portal.realtime.rooms import PROGRESS, STATUS_CHANGE, topic_room
from tests.support.parts import Postgres, Redis
from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer
from tests.support.sockets import Listener, listening
from tests.support.transfers import fill
from tests.support.waiting import wait_for

#: What the contract gives the word of an ended session, and events after the return of Redis.
WORD, BACK = 1.0, 5.0


@pytest.fixture(scope="module")
def portals(
    postgres_server: Postgres,
    postgres_template: str,
    redis_server: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[PortalServer, PortalServer]]:
    """Two of them, as two processes of one portal are: one database, one Redis, one key."""
    url = postgres_server.create(postgres_template)
    shared = {
        "PORTAL_DATABASE_URL": url,
        "PORTAL_REDIS_URL": redis_server.url,
        "PORTAL_SECRET_KEY": "a key that both of them share, 32 long",
    }
    started = []
    for name in ("one", "two"):
        started.append(CopiedPortal(tmp_path_factory.mktemp(name), **shared))
        started[-1].start()
    yield started[0], started[1]
    for server in started:
        server.clean_up()


@pytest.fixture
def worker(redis: Redis) -> Iterator[Publisher]:
    """What another process says of its jobs."""
    publisher = Publisher(redis.url)
    yield publisher
    publisher.close()


def progress(worker: Publisher, job: int, seq: int) -> None:
    worker.publish(
        Kind.EVENT, topic_room(PROGRESS), "job_progress", {"job_id": job, "seq": seq, "percent": 1}
    )


def status(worker: Publisher, job: int, seq: int, new: str) -> None:
    payload = {"job_id": job, "seq": seq, "new_status": new}
    worker.publish(Kind.EVENT, topic_room(STATUS_CHANGE), "job_status_change", payload)


def of_job(heard: list[Any], job: int) -> list[int]:
    return [data["seq"] for _, *rest in heard for data in rest if data.get("job_id") == job]


def has_ended(listener: Listener) -> bool:
    """All that was said of the first job has come, and what was said after it."""
    return 6 in of_job(listener.heard, 9001) and 1 in of_job(listener.heard, 9002)


def mark_of(person: Person) -> str:
    found = re.search(r'data-state-version="([^"]+)"', person.get("/jobs").text)
    assert found is not None
    return found[1]


def test_events_of_a_worker_reach_the_clients_of_both_in_order(
    portals: tuple[PortalServer, PortalServer], worker: Publisher
) -> None:
    bob, charlie = Person(portals[0], "bob"), Person(portals[1], "charlie")
    before = mark_of(bob)
    with listening(bob) as first, listening(charlie) as second:
        status(worker, 9001, 2, "running")  # the first that is heard of it: it may have missed some
        progress(worker, 9001, 3)
        status(worker, 9001, 5, "cancelling")  # before the progress that came before it
        progress(worker, 9001, 4)
        status(worker, 9001, 6, "cancelled")
        progress(worker, 9001, 7)
        status(worker, 9002, 1, "running")
        for listener in (first, second):
            wait_for(partial(has_ended, listener))
            # Of the two readings that came within a fifth of a second, the newest is enough.
            assert of_job(listener.heard, 9001) == [2, 4, 5, 6]
    assert mark_of(bob) != before


def test_what_one_process_does_the_clients_of_the_other_hear(
    portals: tuple[PortalServer, PortalServer], redis: Redis
) -> None:
    bob, charlie = Person(portals[0], "bob"), Person(portals[1], "charlie")
    (portals[0].root / "here").mkdir()
    with listening(charlie) as listener:
        root = portals[0].root
        bob.start(fill(root / "here"), root / "there", name="Far away")
        listener.wait_for("job_created")


def test_session_that_ends_in_one_process_loses_its_sockets_in_the_other(
    portals: tuple[PortalServer, PortalServer], redis: Redis
) -> None:
    here = Person(portals[0], "bob")
    there = Person(portals[1])
    there.http.cookies.update(here.http.cookies)
    stays = Person(portals[1], "bob")
    with listening(there) as dropped, listening(stays) as kept:
        assert here.post("/logout").status_code == 303
        assert dropped.wait_for("session_ended", WORD) == {"reason": "logout"}
        wait_for(lambda: dropped.disconnected, WORD)
        assert kept.ask("subscribe", {"topics": []})["role"] == "operator"
        assert kept.events("session_ended") == []


def test_clients_are_told_of_a_broken_queue_and_to_fetch_when_it_is_back(
    portals: tuple[PortalServer, PortalServer], redis: Redis, worker: Publisher
) -> None:
    charlie = Person(portals[1], "charlie")
    with listening(charlie) as listener:
        redis.kill()
        assert listener.wait_for("live_delayed", BACK) == {"delayed": True}
        assert charlie.get("/jobs").status_code == 200
        with listening(Person(portals[1], "bob")) as newcomer:
            assert newcomer.wait_for("live_delayed") == {"delayed": True}
        assert Person(portals[0], "bob").get("/api/dashboard/stats").status_code == 200
        redis.start()
        wait_for(lambda: listener.events("live_delayed")[-1] == {"delayed": False}, BACK)
        assert listener.events("refresh") == [{}]
        status(worker, 9003, 1, "running")
        wait_for(lambda: of_job(listener.heard, 9003) == [1], BACK)
    with listening(charlie) as later:
        assert later.ask("subscribe", {"topics": []})["role"] == "viewer"
        assert later.events("live_delayed") == []
