"""PostgreSQL goes and comes back: pages say so, nothing hangs, no restart is needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import requests
import websocket

from tests.support.parts import Postgres
from tests.support.people import Person
from tests.support.sockets import listening, upgrade
from tests.support.waiting import wait_for
from tests.support.web_processes import Web

pytestmark = pytest.mark.faults

#: What the log says once somebody waits for the database.
AWAY = 'level=warning event="the database does not answer"'
#: And once somebody has reached it again; each process says both for itself.
BACK = 'event="the database answers again"'


@pytest.fixture(scope="module")
def bob(web: Web) -> Person:
    return Person(web, "bob")


@pytest.fixture
def away(bob: Person, postgres: Postgres) -> Iterator[Postgres]:
    """PostgreSQL, just killed; it is back after the test."""
    assert bob.get("/jobs").status_code == 200
    postgres.kill()
    yield postgres
    postgres.start()


def is_refused(person: Person) -> bool:
    return person.get("/jobs").status_code == 503


def test_page_says_that_the_database_is_away_and_asks_again_by_itself(
    bob: Person, away: Postgres
) -> None:
    wait_for(lambda: is_refused(bob))
    answer = bob.get("/jobs?q=x")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "The database is not responding." in answer.text
    assert '<meta http-equiv="refresh" content="5">' in answer.text
    assert 'href="/jobs?q=x"' in answer.text


def test_form_that_was_sent_is_not_sent_again_by_itself(bob: Person, away: Postgres) -> None:
    wait_for(lambda: is_refused(bob))
    answer = bob.http.post(f"{bob.server.url}/login", data={"username": "bob"}, timeout=20)

    assert answer.status_code == 503
    assert "http-equiv" not in answer.text


def test_fragment_is_refused_so_that_the_page_keeps_what_it_shows(
    bob: Person, away: Postgres
) -> None:
    wait_for(lambda: is_refused(bob))
    answer = bob.get("/api/dashboard/stats", headers={"HX-Request": "true"})

    assert answer.status_code == 503
    assert "<html" not in answer.text


def test_readiness_names_the_database_and_the_process_still_lives(
    web: Web, bob: Person, away: Postgres
) -> None:
    stranger = Person(web)
    wait_for(lambda: is_refused(bob))
    answer = stranger.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["parts"]["database"].startswith("The database does not answer")
    assert stranger.get("/healthz").status_code == 200


def test_socket_is_refused_while_the_database_is_away_and_taken_when_it_is_back(
    web: Web, bob: Person, away: Postgres
) -> None:
    wait_for(lambda: is_refused(bob))
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        upgrade(web, bob.cookie)
    assert refusal.value.status_code == 503

    away.start()
    back = time.monotonic()
    wait_for(lambda: not is_refused(bob))
    with listening(bob) as listener:
        assert listener.ask("subscribe", {"topics": ["progress"]})["role"] == "operator"
    assert time.monotonic() - back < 30


def test_sockets_that_are_open_stay_open_through_a_restart(bob: Person, postgres: Postgres) -> None:
    with listening(bob) as listener:
        postgres.kill()
        wait_for(lambda: is_refused(bob))
        postgres.start()
        wait_for(lambda: not is_refused(bob))
        assert not listener.disconnected
        assert listener.ask("subscribe", {"topics": ["progress"]})["role"] == "operator"


def test_restart_of_a_moment_is_ridden_through_without_an_error(
    web: Web, bob: Person, postgres: Postgres
) -> None:
    # One outage for each process: the last one is over for both.
    wait_for(lambda: not is_refused(bob) and web.log.count(BACK) == web.log.count(AWAY))
    noticed = web.log.count(AWAY)
    postgres.stop()
    waiting = [Asking(bob) for _ in range(4)]
    wait_for(lambda: web.log.count(AWAY) > noticed)
    # From this thread: the server ends with the thread that started it.
    postgres.start()
    for one in waiting:
        one.join(20)

    assert [one.status for one in waiting] == [200] * 4


def test_database_that_accepts_and_never_answers_stops_nothing_else(
    bob: Person, postgres: Postgres
) -> None:
    assert bob.get("/jobs").status_code == 200
    postgres.freeze()
    try:
        asking = [Asking(bob) for _ in range(6)]
        while any(one.is_alive() for one in asking):
            assert requests.get(f"{bob.server.url}/healthz", timeout=2).status_code == 200
            time.sleep(0.1)
        assert {one.status for one in asking} == {503}
    finally:
        postgres.thaw()
    wait_for(lambda: not is_refused(bob))


class Asking(threading.Thread):
    """Somebody who waits for a page."""

    def __init__(self, person: Person) -> None:
        super().__init__(daemon=True)
        self._person = person
        self.status = 0
        self.start()

    def run(self) -> None:
        self.status = self._person.get("/jobs").status_code
