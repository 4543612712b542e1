"""Redis is away or forgets, or its messages come twice: each job ends once, with equal files.

Leases last a part of their real time here, see ``SCALE``; what they are held against as well.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from portal.settings import Settings
from portal.worker.executors.notifier import LookNotifier
from tests.support.parts import Redis
from tests.support.transfers import (
    MIB,
    assert_ended_once,
    fill,
    history,
    status_of,
    stored,
    tree,
)
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults


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
    assert time.monotonic() - asked_at < 5  # to wait for Redis would never end
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
    twice = LookNotifier(settings.redis_url)
    twice.start()
    worker()
    worker()
    fill(root / "from")
    ids: list[int] = []
    for number in range(10):
        ids.append(new_job(source=root / "from", destination=root / str(number)))
        for _ in range(3):
            twice.look()
    wait_for(lambda: all(status_of(job_id) == "completed" for job_id in ids), 20)
    for _ in ids:
        twice.look()
    last = new_job(source=root / "from", destination=root / "last")
    wait_for(lambda: status_of(last) == "completed")
    twice.stop()
    assert {stored(job_id).attempt for job_id in [*ids, last]} == {1}
    assert {tuple(history(job_id)) for job_id in ids} == {("queued", "running", "completed")}
    assert_ended_once([*ids, last])
    assert {str(tree(root / str(n))) for n in range(10)} == {str(tree(root / "from"))}


def test_redis_that_is_wiped_while_it_goes_on_costs_no_time(
    worker: Any, new_job: Any, redis: Redis, root: Path
) -> None:
    worker("--concurrency", "1")
    source = fill(root / "from", MIB, 2)
    ids = [new_job(source=source, destination=root / "0", bandwidth_limit="1M")]
    wait_for(lambda: status_of(ids[0]) == "running")
    ids += [new_job(source=source, destination=root / str(n)) for n in range(1, 11)]
    redis.wipe()
    wait_for(lambda: all(status_of(job_id) == "completed" for job_id in ids), 60)
    assert_ended_once(ids)
    assert {stored(job_id).attempt for job_id in ids} == {1}


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
