"""The disk of the database, and of the log, is full: the portal serves, and forgets nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.errors import AdminShutdown, DiskFull
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from portal.db.session import has_no_room
from tests.support.people import Person
from tests.support.portal_rows import ask, column, counted, history, is_moving
from tests.support.portal_server import PortalServer, with_users
from tests.support.transfers import MIB, fill, rclones, tree
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

PAGES = ("/", "/jobs", "/jobs/1", "/jobs/new", "/history", "/settings", "/healthz", "/readyz")
SENTENCE = "Nothing can be saved right now"
#: Bytes: the log of a test stays below, the journal of the database gets beyond soon.
BETWEEN = 64 * 1024


@pytest.fixture
def portal(tmp_path: Path, migrated: Path) -> Iterator[PortalServer]:
    server = with_users(tmp_path, migrated)
    server.start()
    yield server
    server.clean_up()
    wait_for(lambda: rclones(server.data) == [])


@contextmanager
def no_room(portal: PortalServer, size: int) -> Iterator[None]:
    """No file of the serving process grows beyond a size. What it started before is not
    concerned."""
    _, most = before = resource.prlimit(portal.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(portal.pid, resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.prlimit(portal.pid, resource.RLIMIT_FSIZE, before)


def start(person: Person, source: Path, name: str) -> int:
    """The status of the answer."""
    destination = str(person.server.root / name)
    order = {"operation": "copy", "source": str(source), "destination": destination}
    return person.post("/jobs", name=name, bandwidth_limit="1M", **order).status_code


def rows(portal: PortalServer) -> list[int]:
    tables = ("jobs", "job_events", "audit", "idempotency_keys", "user_settings")
    return [ask(portal, f"SELECT count(*) FROM {table}")[0][0] for table in tables]  # noqa: S608


@pytest.mark.parametrize("size", [BETWEEN, 1], ids=["database", "database and log"])
def test_without_room_pages_are_served_and_what_ended_meanwhile_is_written_afterwards(
    portal: PortalServer, size: int
) -> None:
    bob = Person(portal, "bob")
    source = fill(portal.root / "from", MIB, 10)
    assert start(bob, source, "to") == 303
    wait_for(lambda: is_moving(portal, 1))
    journal = portal.data / "portal.sqlite-wal"  # begun anew only after megabytes
    wait_for(lambda: journal.stat().st_size > BETWEEN)
    before = rows(portal)
    with no_room(portal, size):
        for _ in range(2):
            for page in PAGES:
                assert bob.get(page).status_code == 200, page
        refused = bob.post("/settings", theme="dark", refresh_interval="2", timezone="UTC")
        assert refused.status_code == 503
        assert SENTENCE in refused.text
        assert start(bob, source, "refused") == 503
        assert bob.post("/jobs/1/cancel").status_code == 503
        wait_for(lambda: rclones(portal.data) == [], 30)
        assert tree(portal.root / "to") == tree(source)
        assert column(portal, 1, "status") == "running"
        assert rows(portal) == before
        assert bob.get("/jobs/1").status_code == 200

    wait_for(lambda: column(portal, 1, "status") == "completed", 20)
    assert history(portal, 1) == ["queued", "running", "completed"]
    assert column(portal, 1, "attempt") == 1
    assert ask(portal, "PRAGMA integrity_check") == [("ok",)]
    assert ask(portal, "PRAGMA foreign_key_check") == []
    assert counted(portal)
    assert start(bob, source, "later") == 303
    wait_for(lambda: column(portal, 2, "status") == "completed", 30)
    assert "Traceback" not in portal.log
    portal.manage("audit", "verify")
    assert portal.stop() == 0


def test_full_disk_is_told_apart_from_a_database_that_does_not_answer(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/small")
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE kept (content)"))
        connection.execute(text("PRAGMA max_page_count = 3"))
        with pytest.raises(OperationalError) as full:
            connection.execute(text("INSERT INTO kept VALUES (zeroblob(100000))"))
        with pytest.raises(OperationalError) as absent:
            connection.execute(text("SELECT * FROM lost"))
    engine.dispose()
    assert has_no_room(full.value)
    assert not has_no_room(absent.value)
    assert has_no_room(OperationalError("INSERT", {}, DiskFull("no space left on device")))
    assert not has_no_room(OperationalError("INSERT", {}, AdminShutdown("ends")))
