"""A real portal that is stopped, killed and started again: no job and no file is lost."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import PASSWORD, wait_for
from tests.support.portal_server import PortalServer
from tests.support.transfers import MIB, fill, rclones, tree

pytestmark = pytest.mark.faults

FINAL = ("completed", "failed", "cancelled")
KILLS = 7


class Bob:
    """Signed in at a real portal; his cookie outlives it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        answer = self.post("/login", username="bob", password=PASSWORD)
        assert answer.status_code == 303

    def post(self, path: str, **data: Any) -> requests.Response:
        page = self.http.get(f"{self.url}/login" if path == "/login" else f"{self.url}/jobs/new")
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        assert token is not None
        return self.http.post(
            self.url + path,
            data={"csrf_token": token[1], **data},
            headers={"Referer": self.url},
            allow_redirects=False,
            timeout=10,
        )

    def start(self, source: Path | str, destination: Path | str, **options: str) -> int:
        order = {"name": "Nightly", "operation": "copy", **options}
        answer = self.post("/jobs", source=str(source), destination=str(destination), **order)
        assert answer.status_code == 303, answer.text
        return int(answer.headers["Location"].rpartition("/")[2])


@pytest.fixture
def portal(tmp_path: Path, migrated: Path) -> Iterator[PortalServer]:
    server = PortalServer(tmp_path)
    shutil.copy(migrated, server.data / "portal.sqlite")
    server.start()
    yield server
    server.clean_up()
    wait_for(lambda: rclones(server.data) == [])


def ask(portal: PortalServer, question: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(portal.data / "portal.sqlite", timeout=10)
    try:
        return connection.execute(question, values).fetchall()
    finally:
        connection.close()


def column(portal: PortalServer, job_id: int, name: str) -> Any:
    return ask(portal, f"SELECT {name} FROM jobs WHERE id = ?", job_id)[0][0]  # noqa: S608


def history(portal: PortalServer, job_id: int) -> list[str]:
    rows = ask(portal, "SELECT new_status FROM job_events WHERE job_id = ? ORDER BY id", job_id)
    return [row[0] for row in rows]


def counted(portal: PortalServer) -> bool:
    counters = dict(ask(portal, "SELECT status, jobs FROM job_counts WHERE jobs != 0"))
    return counters == dict(ask(portal, "SELECT status, count(*) FROM jobs GROUP BY status"))


def is_moving(portal: PortalServer, job_id: int) -> bool:
    return bool(column(portal, job_id, "bytes_transferred") > MIB)


def test_orderly_stop_gives_the_job_back_and_the_next_start_completes_it(
    portal: PortalServer,
) -> None:
    source = fill(portal.root / "from", MIB, 8)
    bob = Bob(portal.url)
    job_id = bob.start(source, portal.root / "to", bandwidth_limit="3M")
    wait_for(lambda: is_moving(portal, job_id))
    stopped_at = time.monotonic()
    assert portal.stop() == 0
    assert time.monotonic() - stopped_at < 10
    assert rclones(portal.data) == []
    assert column(portal, job_id, "status") == "queued"
    assert column(portal, job_id, "interruptions") == 0
    portal.start()
    wait_for(lambda: column(portal, job_id, "status") == "completed", 20)
    assert history(portal, job_id) == ["queued", "running", "queued", "running", "completed"]
    assert tree(portal.root / "to") == tree(source)
    assert counted(portal)


def test_killed_portal_leaves_no_rclone_and_the_next_start_goes_on(portal: PortalServer) -> None:
    source = fill(portal.root / "from", MIB, 8)
    (portal.root / "synced").mkdir()
    (portal.root / "synced" / "stray").touch()
    bob = Bob(portal.url)
    copy = bob.start(source, portal.root / "copied", bandwidth_limit="3M")
    sync = bob.start(source, portal.root / "synced", bandwidth_limit="1M", operation="sync")
    doomed = bob.start(source, portal.root / "doomed", bandwidth_limit="1M")
    wait_for(lambda: is_moving(portal, copy) and len(set(rclones(portal.data))) == 3)
    bob.post(f"/jobs/{doomed}/cancel")
    portal.kill()
    wait_for(lambda: rclones(portal.data) == [], 5)
    assert column(portal, copy, "status") == "running"  # nobody was left to say otherwise
    portal.start()
    wait_for(lambda: column(portal, copy, "status") == "completed", 20)
    assert history(portal, copy) == [
        *("queued", "running", "interrupted", "queued", "running", "completed"),
    ]
    assert tree(portal.root / "copied") == tree(source)
    # What deletes is never begun again without a person.
    assert history(portal, sync) == ["queued", "running", "interrupted"]
    assert column(portal, sync, "attempt") == 1
    assert (portal.root / "synced" / "stray").exists()
    assert history(portal, doomed)[:3] == ["queued", "running", "cancelling"]
    assert history(portal, doomed)[3:] == ["cancelled"]
    again = bob.post(f"/jobs/{sync}/retry")
    retried = int(again.headers["Location"].rpartition("/")[2])
    assert column(portal, retried, "retry_of_id") == sync
    assert counted(portal)


def test_portal_killed_at_any_moment_loses_no_job_and_ends_each_once(
    portal: PortalServer, record_property: Any
) -> None:
    seed = time.time_ns()
    record_property("seed", seed)
    dice = random.Random(seed)  # noqa: S311 - chooses moments, not secrets
    source = fill(portal.root / "from", 200_000, 5)
    bob = Bob(portal.url)
    slow = bob.start(source, portal.root / "slow", bandwidth_limit="1k")
    promised: dict[int, Path] = {}
    for round_number in range(KILLS):
        wait_for(lambda: column(portal, slow, "status") in ("running", "failed"))
        killer = threading.Timer(dice.uniform(0, 0.8), portal.kill)
        if round_number % 2:
            killer.start()  # perhaps before the first answer
        try:
            for number in range(100):
                target = portal.root / f"to {round_number} {number}"
                job_id = bob.start(source, target, bandwidth_limit=dice.choice(["", "", "2M"]))
                promised[job_id] = target
                if number == 0 and round_number % 2 == 0:
                    killer.start()
        except requests.RequestException:
            pass  # it was killed while it answered; what it had promised before counts
        killer.join()
        wait_for(lambda: rclones(portal.data) == [], 5)
        portal.start()
    open_jobs = "SELECT count(*) FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled')"
    wait_for(lambda: ask(portal, open_jobs) == [(0,)], 40)
    known = dict(ask(portal, "SELECT id, status FROM jobs"))
    assert promised.keys() <= known.keys()
    for job_id, status in known.items():
        told = history(portal, job_id)
        assert sum(one in FINAL for one in told) == 1, (seed, job_id, told)
        assert told[-1] == status
    for job_id, target in promised.items():
        if known[job_id] == "completed":
            assert tree(target) == tree(source)
        else:
            assert column(portal, job_id, "interruptions") == 4
    assert len(promised) >= KILLS / 2
    # Begun again three times, then given up.
    assert history(portal, slow).count("running") == 4
    assert known[slow] == "failed"
    assert "Interrupted 4 times" in column(portal, slow, "error")
    assert not list(portal.root.rglob("*.portal*-*"))
    assert counted(portal)
