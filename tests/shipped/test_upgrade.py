"""The data of the release before, with jobs in the queue and one that a crash left, after the
upgrade that docs/operations.md describes: nothing is missing, and every job goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.served import Serve
from tests.support.transfers import fill, tree
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

#: Written by that release: job 1 was completed, 2 ran when it was killed, 3 (a copy) and 4 (a move)
#: waited, 5 was cancelled. Where its root lay stands ``{root}``.
RELEASE = Path(__file__).with_name("release_0010.sql")


def put_back(server: PortalServer) -> None:
    (server.data / "portal.sqlite").unlink(missing_ok=True)
    with closing(sqlite3.connect(server.data / "portal.sqlite")) as database:
        database.executescript(RELEASE.read_text().replace("{root}", str(server.root)))


def statuses(server: PortalServer) -> dict[int, str]:
    with closing(sqlite3.connect(server.data / "portal.sqlite", timeout=10)) as database:
        return dict(database.execute("SELECT id, status FROM jobs").fetchall())


def test_jobs_of_the_release_before_go_on_after_the_upgrade(serve: Serve) -> None:
    server = serve()
    put_back(server)
    sources = {name: fill(server.root / name, 10_000, 3) for name in ("running", "waits", "moves")}
    before = {name: tree(source) for name, source in sources.items()}
    server.start()

    bob = Person(server)
    assert bob.sign_in("bob", PASSWORD).status_code == 303
    done = {1: "completed", 2: "completed", 3: "completed", 4: "completed", 5: "cancelled"}
    wait_for(lambda: statuses(server) == done, 30)
    assert {name: tree(server.root / f"{name} copied") for name in sources} == before
    assert tree(sources["moves"]) == {}
    page = bob.get("/history").text
    assert all(name in page for name in ("done", "running", "waits", "moves", "cancelled"))
    verdict = server.manage("audit", "verify")
    assert "entries are as they were written." in verdict
    assert server.stop() == 0
