"""A worker or its rclone dies, freezes or has a wrong clock: each job ends once, in the right
status, with equal files and no rclone left.

Leases last a part of their real time here, see ``SCALE``; what they are held against as well.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from portal.settings import Settings
from tests.support.transfers import (
    MIB,
    Counted,
    assert_ended_once,
    counted_bytes,
    fill,
    history,
    miscounted_totals,
    rclones,
    status_of,
    stored,
    tree,
)
from tests.support.waiting import wait_for
from tests.support.worker_process import SCALE, is_moving, pids_of

pytestmark = pytest.mark.faults


def test_killed_worker_leaves_no_rclone_and_another_one_completes_its_job(
    worker: Any, slow: int, settings: Settings, root: Path
) -> None:
    first = worker()
    wait_for(lambda: is_moving(slow))
    first.kill()
    wait_for(lambda: rclones(settings.data_dir) == [], 3)
    worker()
    wait_for(lambda: status_of(slow) == "completed", 30)
    assert history(slow) == [
        *("queued", "running", "interrupted", "queued", "running", "completed"),
    ]
    assert tree(root / "to") == tree(root / "from")
    assert not list(root.rglob("*.portal*-*"))
    assert_ended_once([slow])


@pytest.mark.parametrize("scale", [1.0])  # so that the sweep is certainly slower
def test_successor_on_the_same_machine_need_not_wait_for_the_lease_of_the_dead(
    worker: Any, new_job: Any, root: Path
) -> None:
    first = worker()
    source = fill(root / "from", MIB, 8)
    job_id = new_job(source=source, bandwidth_limit="1M", operation="sync")
    wait_for(lambda: is_moving(job_id))
    first.kill()
    worker()
    wait_for(lambda: status_of(job_id) == "interrupted")
    assert stored(job_id).error == (
        "Its worker stopped responding. "
        "The figures are those of its last report; more may have been done."
    )
    moved = stored(job_id).bytes_transferred
    assert moved > 0
    assert counted_bytes() == Counted(moved, moved, moved)
    assert miscounted_totals() == {}


def test_killed_rclone_alone_is_a_failure_that_says_so(
    worker: Any, slow: int, settings: Settings
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    for pid in pids_of(settings):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: status_of(slow) == "failed")
    assert "killed by signal 9 (SIGKILL)" in (stored(slow).error or "")
    assert_ended_once([slow])


def test_frozen_workers_rclone_is_dead_before_its_job_is_taken_back(
    worker: Any, new_job: Any, settings: Settings, root: Path
) -> None:
    source = fill(root / "from", MIB, 16)
    job_id = new_job(source=source, bandwidth_limit="1M")
    frozen = worker()
    wait_for(lambda: is_moving(job_id))
    frozen.send(signal.SIGSTOP)
    stopped_at = time.monotonic()
    wait_for(lambda: rclones(settings.data_dir) == [], 40 * SCALE + 1)
    dead_at = time.monotonic()
    assert status_of(job_id) == "running"
    fresh = worker()
    wait_for(lambda: stored(job_id).attempt == 2, 20)
    taken_at = time.monotonic()
    assert dead_at < taken_at
    assert taken_at - stopped_at > 35 * SCALE
    time.sleep(max(0.0, stopped_at + 60 * SCALE - time.monotonic()))  # as long as it is frozen
    frozen.send(signal.SIGCONT)
    wait_for(lambda: "stop=Stop." in frozen.log)
    job = stored(job_id)
    assert (job.attempt, job.status, job.interruptions) == (2, "running", 1)
    assert set(rclones(settings.data_dir)) == {job_id}, "that of its successor"
    assert "LOST" in frozen.log or "LEASE_EXPIRED" in frozen.log
    assert fresh.process.poll() is None
    wait_for(lambda: status_of(job_id) == "completed", 40)
    assert tree(root / "to") == tree(source)
    assert_ended_once([job_id])


def test_worker_whose_clock_is_wrong_by_an_hour_is_neither_robbed_nor_believed(
    worker: Any, slow: int, postgres_url: str
) -> None:
    late = worker(launch=False)
    late.shift_clock(hours=-1)
    late.start()
    wait_for(lambda: status_of(slow) == "completed", 20)
    assert history(slow) == ["queued", "running", "completed"]
    with psycopg.connect(postgres_url) as connection:
        ages = connection.execute(
            "SELECT extract(epoch FROM now() - finished_at), "
            "extract(epoch FROM now() - started_at), "
            "(SELECT max(extract(epoch FROM now() - at)) FROM job_events) FROM jobs"
        ).fetchone()
    assert ages is not None
    assert all(0 <= age < 60 for age in ages)
