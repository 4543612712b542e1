"""Workers in processes of their own: they hear the notifier, hold jobs, and leave in order."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from portal.settings import Settings
from tests.conftest import wait_for
from tests.support.transfers import MIB, fill, history, rclones, status_of, stored, tree


def test_worker_runs_a_job_soon_after_it_was_made(worker: Any, new_job: Any, root: Path) -> None:
    worker()
    job_id = new_job()
    wait_for(lambda: status_of(job_id) == "completed")
    assert tree(root / "to") == tree(root / "from")
    job = stored(job_id)
    assert (job.attempt, job.worker_id is not None) == (1, True)
    assert (job.started_at - job.queued_at).total_seconds() < 2


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
