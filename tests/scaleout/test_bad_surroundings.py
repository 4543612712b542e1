"""A proxy cuts, a disk is full, one fault follows another: each job ends once, in the right status,
with equal files and no rclone left.

Leases last a part of their real time here, see ``SCALE``; what they are held against as well.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from portal.settings import Settings
from portal.transfers.states import FINAL
from tests.support.parts import Postgres, Redis
from tests.support.proxies import FaultyWay
from tests.support.scripts import python_program
from tests.support.storm import Storm
from tests.support.transfers import (
    MIB,
    assert_ended_once,
    fill,
    rclones,
    status_of,
    stored,
    tree,
)
from tests.support.waiting import wait_for
from tests.support.worker_process import SCALE

pytestmark = pytest.mark.faults


def test_proxy_that_cuts_every_connection_every_five_seconds_disturbs_no_transfer(
    worker: Any, new_job: Any, settings: Settings, postgres: Postgres, redis: Redis, root: Path
) -> None:
    ways = FaultyWay(postgres.port), FaultyWay(redis.port)
    one = worker(launch=False, is_copy=False)
    name = settings.database_url.rpartition("/")[2]
    one.set(
        PORTAL_DATABASE_URL=f"postgresql://postgres@127.0.0.1:{ways[0].port}/{name}",
        PORTAL_REDIS_URL=f"redis://127.0.0.1:{ways[1].port}/0",
    )
    one.start()  # in peace: one that cannot reach its database in the beginning says so and ends
    for way in ways:
        way.lifetime = 5 * SCALE
        way.cut()
    source = fill(root / "from", MIB, 4)
    ids = [
        new_job(source=source, destination=root / str(n), bandwidth_limit="2M") for n in range(6)
    ]
    wait_for(lambda: all(status_of(job_id) == "completed" for job_id in ids), 60)
    one.stop()
    for way in ways:
        way.stop()
    assert_ended_once(ids)
    assert all(tree(root / str(n)) == tree(source) for n in range(6))


def test_full_disk_at_the_destination_is_a_failure_that_says_so(
    worker: Any, new_job: Any, settings: Settings, root: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    from portal import engine

    real = engine.rclone_path(None)
    limited = python_program(
        tmp_path / "rclone with little room",
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))\n"
        f"os.execv({str(real)!r}, [{str(real)!r}, *sys.argv[1:]])\n",
    )
    one = worker(launch=False, is_copy=False)
    one.set(PORTAL_RCLONE=str(limited))
    one.start()
    job_id = new_job(source=fill(root / "from", 2 * MIB, 1))
    wait_for(lambda: status_of(job_id) == "failed", 20)
    assert any("file too large" in line for line in stored(job_id).error_lines)
    assert [path for path in (root / "to").rglob("*") if path.is_file()] == []
    assert_ended_once([job_id])


def test_one_fault_after_another_loses_none_of_many_jobs(
    worker: Any,
    new_job: Any,
    settings: Settings,
    root: Path,
    postgres: Postgres,
    redis: Redis,
    record_property: Any,
) -> None:
    """Half a minute of it; bench/scaleout.py takes five at the real times of leases."""
    seed = time.time_ns()
    record_property("seed", seed)
    workers = [worker("--concurrency", "4") for _ in range(2)]
    source = fill(root / "from", 400_000, 2)
    targets = {
        new_job(source=source, destination=root / str(n), bandwidth_limit="400k"): root / str(n)
        for n in range(60)
    }
    storm = Storm(workers, postgres, redis, seed=seed, scale=SCALE)
    for _ in itertools.islice(storm.faults(), 8):
        storm.pause(1, 2)

    wait_for(lambda: all(status_of(job_id) in FINAL for job_id in targets), 90)
    wait_for(lambda: rclones(settings.data_dir) == [])
    assert_ended_once(targets)
    for job_id, target in targets.items():
        job = stored(job_id)
        if job.status == "completed":
            assert tree(target) == tree(source), (seed, job_id)
        else:
            assert (job.status, job.interruptions) == ("failed", 4), (seed, job_id, job.error)
