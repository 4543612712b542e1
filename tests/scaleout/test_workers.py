"""Workers in processes of their own: they hear the notifier, hold jobs, and leave in order."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from portal.services import workers
from portal.settings import Settings
from portal.worker.executors.notifier import celery_app
from tests.support.parts import Redis
from tests.support.transfers import MIB, fill, history, rclones, status_of, stored, tree
from tests.support.waiting import wait_for


def test_worker_runs_a_job_soon_after_it_was_made(worker: Any, new_job: Any, root: Path) -> None:
    worker()
    job_id = new_job()
    wait_for(lambda: status_of(job_id) == "completed")
    assert tree(root / "to") == tree(root / "from")
    job = stored(job_id)
    assert (job.attempt, job.worker_id is not None) == (1, True)
    assert (job.started_at - job.queued_at).total_seconds() < 2


def test_worker_takes_no_orders_through_redis(
    worker: Any, new_job: Any, redis: Redis, root: Path
) -> None:
    worker()
    control = celery_app(redis.url).control
    assert control.ping(timeout=2) == []
    control.broadcast("shutdown")
    control.broadcast("cancel_consumer", arguments={"queue": "portal.look"})
    control.broadcast("pool_shrink", arguments={"n": 99})
    job_id = new_job()
    wait_for(lambda: status_of(job_id) == "completed")


def test_stopped_worker_gives_its_job_back_and_another_one_completes_it(
    worker: Any, new_job: Any, root: Path, settings: Settings
) -> None:
    first = worker()
    source = fill(root / "from", MIB, 6)
    job_id = new_job(source=source, bandwidth_limit="2M")
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    asked_at = time.monotonic()
    assert first.stop() == 0
    assert time.monotonic() - asked_at < 10
    assert rclones(settings.data_dir) == []
    assert status_of(job_id) == "queued"
    worker()
    wait_for(lambda: status_of(job_id) == "completed", 20)
    assert history(job_id) == ["queued", "running", "queued", "running", "completed"]
    assert tree(root / "to") == tree(source)


def test_worker_tells_of_a_root_that_is_away_until_it_is_back(
    worker: Any, new_job: Any, root: Path
) -> None:
    worker()
    assert workers.root_problems() == []
    root.rename(root.with_name("away"))
    wait_for(workers.root_problems, 20)
    (problem,) = workers.root_problems()
    assert f"The folder {root} is not there." in problem
    root.with_name("away").rename(root)
    wait_for(lambda: workers.root_problems() == [], 20)
