"""What ships moves files: in one process, and in several with workers."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

from tests.support.parts import Postgres, Redis
from tests.support.people import Person
from tests.support.served import Serve, admin, copy, is_completed, worker_beside
from tests.support.sockets import listening
from tests.support.transfers import tree
from tests.support.waiting import wait_for
from tests.support.web_processes import statuses_heard


def test_one_process_copies_what_the_form_says_and_leaves_its_database_in_one_file(
    serve: Serve,
) -> None:
    server = serve()
    server.start()
    person = admin(server)
    job = copy(server, person, "photographs")
    wait_for(lambda: is_completed(person, job), 30)
    assert tree(server.root / "photographs copied") == tree(server.root / "photographs")
    assert server.stop() == 0, server.log

    (server.data / "portal.sqlite").rename(server.data / "copy.sqlite")
    with closing(sqlite3.connect(server.data / "copy.sqlite")) as database:
        found = database.execute("SELECT name, status FROM jobs").fetchall()
    assert found == [("photographs", "completed")]


def test_two_processes_and_a_worker_copy_what_the_form_says(
    serve: Serve, postgres: Postgres, redis: Redis
) -> None:
    server = serve(
        *("--processes", "2"),
        PORTAL_DATABASE_URL=postgres.create(),
        PORTAL_REDIS_URL=redis.url,
        PORTAL_SECRET_KEY="a key that all the processes of this portal know",
    )
    server.start()
    with worker_beside(server) as worker:
        person: Person = admin(server)
        with listening(person) as listener:
            job = copy(server, person, "photographs")
            wait_for(lambda: is_completed(person, job), 30)
            wait_for(lambda: "completed" in statuses_heard(listener, job))
        assert tree(server.root / "photographs copied") == tree(server.root / "photographs")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0
    assert server.stop() == 0, server.log
