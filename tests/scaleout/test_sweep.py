"""The sweep: one process at a time, and whoever dies or freezes in it hinders nobody for long."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from flask import Flask

from portal.db import session as database
from portal.services.jobs import rescue
from portal.settings import Settings
from portal.worker.executors.celery import CeleryExecutor
from tests.shipped import environment as shipped
from tests.support.applications import engine_of
from tests.support.project import ROOT
from tests.support.transfers import claim_and_fall_silent, history, status_of
from tests.support.waiting import wait_for

#: A process that sweeps and comes to no end of it.
SWEEPER = """
import sys, time
from portal.db import session
from portal.services.jobs import rescue
session.connect(sys.argv[1])
session._EXCLUSIVE_SILENCE = sys.argv[2]
with session.advisory_lock(rescue._SWEEP) as alone:
    print(alone, flush=True)
    time.sleep(600)
"""


#: How many wait for a lock on a table of this database.
WAITING = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND NOT granted
"""


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """Nobody sweeps but the tests."""
    from portal.app import build_app

    settings.prepare()
    made = build_app(settings)
    yield made
    database.session.remove()
    engine_of(made).dispose()


@contextmanager
def sweeper(settings: Settings, silence: str = "60s") -> Iterator[subprocess.Popen[str]]:
    command = [shipped.python(), "-c", SWEEPER, settings.database_url, silence]
    process = subprocess.Popen(
        command, cwd=ROOT, env=shipped.environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            assert process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def silent(new_job: Callable[..., int]) -> Callable[..., int]:
    """A job whose worker was last heard of a minute ago."""

    return lambda **options: claim_and_fall_silent(new_job(**options))


def swept(job_id: int) -> bool:
    rescue.sweep(45)
    return status_of(job_id) == "queued"


def test_of_two_sweeps_at_once_one_finds_nothing_to_do(
    settings: Settings, silent: Callable[..., int]
) -> None:
    job_id = silent()
    with sweeper(settings):
        assert not rescue.sweep(45)
        assert status_of(job_id) == "running"
    wait_for(lambda: swept(job_id), 5)
    assert history(job_id) == ["queued", "running", "interrupted", "queued"]


def test_sweeper_that_is_killed_leaves_its_work_to_the_next_one(
    settings: Settings, silent: Callable[..., int]
) -> None:
    job_id = silent()
    with sweeper(settings) as process:
        process.send_signal(signal.SIGKILL)
        wait_for(lambda: swept(job_id), 5)


def test_sweeper_that_freezes_loses_its_right(
    settings: Settings, silent: Callable[..., int]
) -> None:
    job_id = silent()
    with sweeper(settings, "1s") as process:
        process.send_signal(signal.SIGSTOP)
        assert not swept(job_id)
        wait_for(lambda: swept(job_id), 10)
        assert process.poll() is None


def test_end_of_a_process_waits_for_the_sweep_that_is_under_way(
    app: Flask, settings: Settings
) -> None:
    executor = CeleryExecutor(settings)
    released = threading.Event()
    with psycopg.connect(settings.database_url) as blocker:
        blocker.execute("LOCK TABLE jobs, workers IN ACCESS EXCLUSIVE MODE")
        executor.start()
        wait_for(lambda: blocker.execute(WAITING).fetchone() == (1,))

        def release() -> None:
            blocker.rollback()
            released.set()

        later = threading.Timer(0.5, release)
        later.start()
        executor.stop()
        assert released.is_set()
        assert not executor.is_alive()
        later.join()
