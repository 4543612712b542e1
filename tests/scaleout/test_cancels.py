"""A cancel reaches a worker elsewhere, at whatever moment, and each job ends once.

Leases last a part of their real time here, see ``SCALE``; what they are held against as well.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.errors import Conflict
from portal.services.actor import Actor
from portal.services.jobs import control
from portal.settings import Settings
from portal.transfers.states import FINAL
from tests.support.transfers import (
    assert_ended_once,
    fill,
    rclones,
    status_of,
    tree,
)
from tests.support.waiting import wait_for
from tests.support.worker_process import is_moving

pytestmark = pytest.mark.faults


def test_cancel_reaches_a_worker_elsewhere_within_two_seconds(
    app: Flask, worker: Any, slow: int, user: Any, settings: Settings
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    with app.app_context():
        control.cancel(slow, actor=Actor(user("alice")))
    wait_for(lambda: status_of(slow) == "cancelled", 2)
    assert rclones(settings.data_dir) == []
    assert_ended_once([slow])


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
                control.cancel(job_id, actor=Actor(alice))
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
