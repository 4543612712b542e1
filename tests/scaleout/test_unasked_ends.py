"""A worker that cannot go on says why, gives its jobs back and exits as a failure, so that whoever
looks after it starts another; one that was asked to end exits with 0."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from portal.settings import Settings
from tests.support.transfers import MIB, fill, rclones, status_of, stored
from tests.support.waiting import wait_for

#: A package that Redis needs is not installed.
WITHOUT_A_PACKAGE = """
import sys
sys.modules["packaging"] = sys.modules["packaging.version"] = None
"""
#: Celery's consumer breaks after it has worked for a while.
CONSUMER_BREAKS = """
import threading, time
from celery.worker import loops
real = loops.asynloop
def asynloop(obj, connection, consumer, blueprint, hub, *rest, **more):
    def fail():
        raise TypeError("the hub is broken")
    threading.Timer(3, lambda: hub.call_soon(fail)).start()
    return real(obj, connection, consumer, blueprint, hub, *rest, **more)
from celery.worker.consumer import consumer
consumer.loops.asynloop = loops.asynloop = asynloop
"""
NO_HEARTBEATS = """
from portal.services import workers
real, beats = workers.beat, []
def beat(worker_id, *more):
    beats.append(worker_id)
    if len(beats) > 6:
        raise ValueError("no heart")
    return real(worker_id, *more)
workers.beat = beat
"""
NO_SWEEP = """
from portal.services.jobs import rescue
real, sweeps = rescue.sweep, []
def sweep(*arguments, **options):
    sweeps.append(arguments)
    if len(sweeps) > 2:
        raise ValueError("no broom")
    return real(*arguments, **options)
rescue.sweep = sweep
"""


def test_worker_without_a_package_that_redis_needs_says_so_and_fails(worker: Any) -> None:
    broken = worker(launch=False)
    broken.break_by(WITHOUT_A_PACKAGE)
    broken.launch()
    assert broken.wait(30) == 1
    # Both talk to Redis: whichever comes first.
    assert re.search(r"Error: The (Celery consumer|notifier) has ended: .*packaging", broken.log)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (CONSUMER_BREAKS, "Celery consumer has ended: TypeError('the hub is broken')"),
        (NO_HEARTBEATS, "heartbeat has ended"),
        (NO_SWEEP, "sweeper has ended"),
    ],
)
def test_worker_that_breaks_gives_its_job_back_says_why_and_fails(
    worker: Any, new_job: Any, settings: Settings, root: Path, code: str, reason: str
) -> None:
    job_id = new_job(source=fill(root / "from", MIB, 20), bandwidth_limit="1M")
    broken = worker(launch=False)
    broken.break_by(code)
    broken.start()
    wait_for(lambda: status_of(job_id) == "running")
    assert broken.wait(30) == 1
    assert reason in broken.log.rpartition("Error: ")[2]
    assert rclones(settings.data_dir) == []
    assert (status_of(job_id), stored(job_id).interruptions) == ("queued", 0)


def test_worker_that_is_asked_to_end_exits_with_0(worker: Any) -> None:
    assert worker(is_copy=False).stop() == 0
