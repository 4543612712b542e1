"""A worker that is frozen with all its processes for longer than its lease, and thawed: a machine
that slept, a paused container."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from portal.settings import Settings
from tests.support.transfers import (
    MIB,
    assert_ended_once,
    environments,
    fill,
    rclones,
    status_of,
    stored,
    tree,
)
from tests.support.waiting import wait_for
from tests.support.worker_process import SCALE, WorkerProcess

pytestmark = pytest.mark.faults


def children(pid: int) -> list[int]:
    """The watchdog and every rclone of a worker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def attempts(settings: Settings) -> set[bytes]:
    """Of the rclones that live."""
    here = b"PORTAL_DATA=" + os.fsencode(settings.data_dir)
    return {
        item.removeprefix(b"PORTAL_ATTEMPT=")
        for _, told in environments()
        if here in told
        for item in told
        if item.startswith(b"PORTAL_ATTEMPT=")
    }


@pytest.mark.parametrize("round_", range(4))
def test_thawed_worker_destroys_nothing_of_its_successor(
    worker: Any, new_job: Any, settings: Settings, root: Path, round_: int
) -> None:
    source = fill(root / "from", 4 * MIB, 4)
    job_id = new_job(source=source, destination=root / "to", bandwidth_limit="1M")
    first: WorkerProcess = worker()
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    asleep = [first.pid, *children(first.pid)]
    assert len(asleep) >= 3  # itself, its watchdog, its rclone
    send(asleep, signal.SIGSTOP)
    try:
        frozen_at = time.monotonic()
        worker()
        # One that is frozen in the middle of a sweep keeps the right to it for 20 s.
        wait_for(lambda: stored(job_id).attempt == 2 and status_of(job_id) == "running", 30)
        mine = "*.portal??????-2"
        wait_for(lambda: list((root / "to").glob(mine)))
        time.sleep(max(0.0, frozen_at + 65 * SCALE - time.monotonic()))
        assert status_of(job_id) == "running"
    finally:
        # The worst order: rclone has the longest time to do harm. What failed leaves none asleep.
        send(asleep[::-1], signal.SIGCONT)
    wait_for(lambda: attempts(settings) == {b"2"}, 10)
    assert list((root / "to").glob(mine))
    wait_for(lambda: "stop=Stop." in first.log)
    wait_for(lambda: status_of(job_id) != "running", 60)
    job = stored(job_id)
    assert (job.status, job.attempt, job.error) == ("completed", 2, None)
    assert tree(root / "to") == tree(source)  # and nothing beside it
    assert rclones(settings.data_dir) == []
    assert_ended_once([job_id])
