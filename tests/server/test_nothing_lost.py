"""A real portal that is stopped, killed and started again: no job and no file is lost."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.people import Person
from tests.support.portal_rows import ask, column, counted, history, is_moving
from tests.support.portal_server import CopiedPortal, PortalServer
from tests.support.transfers import MIB, fill, rclones, tree
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

FINAL = ("completed", "failed", "cancelled")
KILLS = 7


@pytest.fixture
def portal(tmp_path: Path, migrated: Path) -> Iterator[PortalServer]:
    server = CopiedPortal(tmp_path)
    shutil.copy(migrated, server.data / "portal.sqlite")
    server.start()
    yield server
    server.clean_up()
    wait_for(lambda: rclones(server.data) == [])


def test_orderly_stop_gives_the_job_back_and_the_next_start_completes_it(
    portal: PortalServer,
) -> None:
    source = fill(portal.root / "from", MIB, 8)
    bob = Person(portal, "bob")
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
    bob = Person(portal, "bob")
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
    bob = Person(portal, "bob")
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
    # Each attempt removes what those before it left. After the last one of a job that was given up
    # nobody does, if its rclone had not the time to tidy up when the portal was killed.
    left = {path.suffix for path in portal.root.rglob("*.portal??????-*")}
    assert {suffix.rpartition("-")[2] for suffix in left} <= {"4"}
    assert len(left) <= sum(status == "failed" for status in known.values())
    assert counted(portal)
