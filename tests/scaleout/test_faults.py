"""Whatever dies: each job ends once, in the right status, with equal files and no rclone left.

Leases last a tenth of their real time here, see ``SCALE``; what they are held against as well.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from portal.errors import Conflict
from portal.executors.bell import Bell
from portal.services import jobs
from portal.settings import Settings
from portal.states import FINAL
from tests.conftest import wait_for
from tests.faults.proxies import FaultyWay
from tests.parts import Postgres, Redis
from tests.scaleout.conftest import SCALE
from tests.scaleout.storm import Storm
from tests.scripts import python_program
from tests.transfers import (
    MIB,
    assert_ended_once,
    fill,
    history,
    rclones,
    status_of,
    stored,
    tree,
)

pytestmark = pytest.mark.faults


def pids_of(settings: Settings) -> list[int]:
    """Processes that work for a job of this portal."""
    mark = b"PORTAL_DATA=" + os.fsencode(settings.data_dir)
    found = []
    for entry in Path("/proc").iterdir():
        try:
            told = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in told and any(item.startswith(b"PORTAL_JOB_ID=") for item in told):
            found.append(int(entry.name))
    return found


@pytest.fixture
def slow(new_job: Any, root: Path) -> int:
    """A copy of some four seconds."""
    return int(new_job(source=fill(root / "from", MIB, 8), bandwidth_limit="2M"))


def is_moving(job_id: int) -> bool:
    return bool(stored(job_id).bytes_transferred > MIB)


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
    assert stored(job_id).error == "Its worker died."


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
    assert set(rclones(settings.data_dir)) <= {job_id}
    job = stored(job_id)
    assert (job.attempt, job.status, job.interruptions) == (2, "running", 1)
    assert "LOST" in frozen.log or "LAPSED" in frozen.log
    assert fresh.process.poll() is None
    wait_for(lambda: status_of(job_id) == "completed", 40)
    assert tree(root / "to") == tree(source)
    assert_ended_once([job_id])


def test_database_that_is_away_for_a_moment_disturbs_no_transfer(
    worker: Any, slow: int, postgres: Postgres, root: Path
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    postgres.kill()
    time.sleep(1)  # less than a worker rides through
    postgres.start()
    wait_for(lambda: status_of(slow) == "completed", 20)
    assert history(slow) == ["queued", "running", "completed"]
    assert tree(root / "to") == tree(root / "from")
    assert_ended_once([slow])


def test_worker_that_cannot_reach_the_database_ends_rclone_and_goes_on_when_it_is_back(
    worker: Any, new_job: Any, postgres: Postgres, settings: Settings, root: Path
) -> None:
    source = fill(root / "from", MIB, 10)
    copy = new_job(source=source, bandwidth_limit="1M")
    sync = new_job(
        source=source, destination=root / "synced", operation="sync", bandwidth_limit="1M"
    )
    worker()
    wait_for(lambda: is_moving(copy) and is_moving(sync))
    postgres.freeze()  # it accepts connections and never answers
    frozen_at = time.monotonic()
    wait_for(lambda: rclones(settings.data_dir) == [], 40 * SCALE + 1)
    assert time.monotonic() - frozen_at > 20 * SCALE
    postgres.thaw()
    wait_for(lambda: status_of(copy) == "completed", 30)
    assert history(copy)[1:4] == ["running", "interrupted", "queued"]
    assert history(sync) == ["queued", "running", "interrupted"]
    assert tree(root / "to") == tree(source)
    assert_ended_once([copy])


def test_queue_that_is_wiped_loses_no_job_and_jobs_made_without_it_start_when_it_is_back(
    worker: Any, new_job: Any, redis: Redis, root: Path
) -> None:
    worker("--concurrency", "1")
    source = fill(root / "from", MIB, 2)
    first = new_job(source=source, bandwidth_limit="1M")
    ids = [first, *(new_job(source=source, destination=root / str(n)) for n in range(3))]
    wait_for(lambda: status_of(first) == "running")
    redis.kill()
    asked_at = time.monotonic()
    ids.append(new_job(source=source, destination=root / "without"))
    assert time.monotonic() - asked_at < 1
    wait_for(lambda: status_of(first) == "completed")
    redis.start()
    back_at = time.monotonic()
    wait_for(lambda: all(status_of(job_id) == "completed" for job_id in ids), 20)
    assert time.monotonic() - back_at < 15
    assert [stored(job_id).attempt for job_id in ids] == [1] * 5
    assert_ended_once(ids)


def test_messages_that_come_twice_run_no_job_twice(
    worker: Any, new_job: Any, settings: Settings, root: Path
) -> None:
    twice = Bell(settings.redis_url)
    twice.start()
    worker()
    worker()
    fill(root / "from")
    ids: list[int] = []
    for number in range(10):
        ids.append(new_job(source=root / "from", destination=root / str(number)))
        for _ in range(3):
            twice.ring(ids[-1], None)
    wait_for(lambda: all(status_of(job_id) == "completed" for job_id in ids), 20)
    for job_id in ids:
        twice.ring(job_id, None)
    last = new_job(source=root / "from", destination=root / "last")
    wait_for(lambda: status_of(last) == "completed")
    twice.stop()
    assert {stored(job_id).attempt for job_id in [*ids, last]} == {1}
    assert {tuple(history(job_id)) for job_id in ids} == {("queued", "running", "completed")}
    assert_ended_once([*ids, last])
    assert {str(tree(root / str(n))) for n in range(10)} == {str(tree(root / "from"))}


def test_bells_that_are_lost_while_redis_goes_on_are_rung_again(
    worker: Any, new_job: Any, redis: Redis, root: Path
) -> None:
    worker("--concurrency", "1")
    source = fill(root / "from", MIB, 2)
    ids = [new_job(source=source, destination=root / "0", bandwidth_limit="1M")]
    wait_for(lambda: status_of(ids[0]) == "running")
    ids += [new_job(source=source, destination=root / str(n)) for n in range(1, 11)]
    redis.wipe()
    wait_for(lambda: all(status_of(job_id) == "completed" for job_id in ids), 30)
    assert_ended_once(ids)
    assert {stored(job_id).attempt for job_id in ids} == {1}


def test_cancel_reaches_a_worker_elsewhere_within_two_seconds(
    app: Flask, worker: Any, slow: int, user: Any, settings: Settings
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    with app.app_context():
        jobs.cancel(slow, actor=user("alice"), address="")
    wait_for(lambda: status_of(slow) == "cancelled", 2)
    assert rclones(settings.data_dir) == []
    assert_ended_once([slow])


def test_connections_to_the_database_that_are_cut_disturb_no_transfer(
    worker: Any, slow: int, postgres: Postgres, postgres_url: str, root: Path
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    for _ in range(5):
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        time.sleep(0.3)
    wait_for(lambda: status_of(slow) == "completed", 20)
    assert history(slow) == ["queued", "running", "completed"]
    assert tree(root / "to") == tree(root / "from")
    assert_ended_once([slow])


def test_proxy_that_cuts_every_connection_every_five_seconds_disturbs_no_transfer(
    worker: Any, new_job: Any, settings: Settings, postgres: Postgres, redis: Redis, root: Path
) -> None:
    ways = FaultyWay(postgres.port), FaultyWay(redis.port)
    for way in ways:
        way.lifetime = 5 * SCALE
    one = worker(launch=False)
    name = settings.database_url.rpartition("/")[2]
    one.set(
        PORTAL_DATABASE_URL=f"postgresql://postgres@127.0.0.1:{ways[0].port}/{name}",
        PORTAL_REDIS_URL=f"redis://127.0.0.1:{ways[1].port}/0",
    )
    one.start()
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


def test_worker_that_starts_while_redis_is_down_works_when_it_is_there(
    worker: Any, new_job: Any, redis: Redis
) -> None:
    redis.kill()
    early = worker(launch=False)
    early.launch()
    wait_for(early.is_ready, 30)
    job_id = new_job()
    redis.start()
    wait_for(lambda: status_of(job_id) == "completed", 30)
    assert_ended_once([job_id])


def test_fifty_cancels_at_any_moment_end_each_job_once(
    app: Flask, worker: Any, new_job: Any, user: Any, root: Path, record_property: Any
) -> None:
    seed = time.time_ns()
    record_property("seed", seed)
    dice = random.Random(seed)  # noqa: S311 - chooses moments, not secrets
    worker("--concurrency", "4")
    worker("--concurrency", "4")
    source = fill(root / "from", 300_000, 2)
    alice = user("alice")
    due: list[tuple[float, int]] = []
    ids = []
    for number in range(50):
        limit = dice.choice(["300k", "1M", None])
        ids.append(new_job(source=source, destination=root / str(number), bandwidth_limit=limit))
        due.append((time.monotonic() + dice.uniform(0, 3), ids[-1]))
    asked: dict[int, bool] = {}
    for moment, job_id in sorted(due):
        time.sleep(max(0.0, moment - time.monotonic()))
        with app.app_context():
            try:
                jobs.cancel(job_id, actor=alice, address="")
            except Conflict:
                asked[job_id] = False
            else:
                asked[job_id] = True
    wait_for(lambda: all(status_of(job_id) in FINAL for job_id in ids), 30)
    for job_id, accepted in asked.items():
        assert status_of(job_id) == ("cancelled" if accepted else "completed"), (seed, job_id)
        if not accepted:
            assert tree(root / str(ids.index(job_id))) == tree(source)
    assert_ended_once(ids)


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
    one = worker(launch=False)
    one.set(PORTAL_RCLONE=str(limited))
    one.start()
    job_id = new_job(source=fill(root / "from", 2 * MIB, 1))
    wait_for(lambda: status_of(job_id) == "failed", 20)
    assert any("file too large" in line for line in stored(job_id).error_lines)
    assert [path for path in (root / "to").rglob("*") if path.is_file()] == []
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


def test_tables_that_are_changed_meanwhile_disturb_no_transfer(
    worker: Any, slow: int, postgres_url: str, root: Path
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    with psycopg.connect(postgres_url) as migration:
        migration.execute("ALTER TABLE jobs ADD COLUMN later text")
        time.sleep(1)  # as long as a migration locks the table
    wait_for(lambda: status_of(slow) == "completed", 20)
    assert history(slow) == ["queued", "running", "completed"]
    assert tree(root / "to") == tree(root / "from")


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
