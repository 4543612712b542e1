"""An upgrade without downtime: the web processes roll, a worker drains and its successor takes
over, while jobs run and people look on."""

from __future__ import annotations

import os
import signal
import threading

import psycopg
import pytest

from tests.support.people import Person
from tests.support.portal_server import START_SECONDS
from tests.support.sockets import listening
from tests.support.transfers import tree
from tests.support.waiting import wait_for
from tests.support.web_processes import Web, new_job, status_of, statuses_heard, worker_of

pytestmark = pytest.mark.faults

JOBS = 6


class Visitor(threading.Thread):
    """Asks for a page, again and again, until told to stop."""

    def __init__(self, person: Person) -> None:
        super().__init__(daemon=True)
        self.codes: list[int] = []
        self.leaving = threading.Event()
        self._person = person
        self.start()

    def run(self) -> None:
        while not self.leaving.wait(0.05):
            self.codes.append(self._person.get("/jobs").status_code)


def histories(database: str) -> list[str]:
    """Of each job the statuses it has had."""
    with psycopg.connect(database) as connection:
        return [
            row[0]
            for row in connection.execute(
                "SELECT string_agg(new_status, ' ' ORDER BY id) FROM job_events GROUP BY job_id"
            )
        ]


def test_no_job_is_lost_and_no_page_refused_while_everything_is_replaced(
    web: Web, module_database: str
) -> None:
    alice, bob = Person(web, "alice"), Person(web, "bob")
    wait_for(web.is_whole, START_SECONDS)
    before = web.children()
    with worker_of(web, "old") as old, listening(bob) as listener:
        visitor = Visitor(Person(web, "bob"))
        ids = [
            new_job(web, bob, f"rolls {n}", size=1_000_000, bandwidth_limit="400k")
            for n in range(JOBS)
        ]
        wait_for(lambda: status_of(bob, ids[0]) != "queued", 30)
        os.kill(web.pid, signal.SIGHUP)
        with worker_of(web, "new"):
            page = alice.get("/workers").text
            # The newest stands on top.
            number = page.rpartition('id="drain-')[2].partition('"')[0]
            assert alice.post(f"/workers/{number}/drain").status_code == 303
            old.wait(60)
            assert old.returncode == 0
            wait_for(lambda: web.log.count("the processes are replaced") == 1, 2 * START_SECONDS)
            wait_for(lambda: listener.disconnected, START_SECONDS)
            with listening(bob) as again:
                last = new_job(web, bob, "after")
                wait_for(lambda: status_of(bob, last) == "completed", 30)
                wait_for(lambda: "completed" in statuses_heard(again, last))
            wait_for(lambda: all(status_of(bob, job) == "completed" for job in ids), 60)
        visitor.leaving.set()
        visitor.join(20)

    assert not set(before) & set(web.children())
    assert len(visitor.codes) > 20
    assert set(visitor.codes) == {200}
    assert set(histories(module_database)) == {"queued running completed"}
    for n in range(JOBS):
        assert tree(web.root / f"rolls {n} copied") == tree(web.root / f"rolls {n}")
