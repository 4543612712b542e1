"""For tests with real workers: the application stands on PostgreSQL and notifies through Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.app import build_app
from portal.db import session
from portal.services import audit
from portal.settings import Settings, load_settings
from portal.worker.executors.celery import CeleryExecutor
from tests.support.applications import engine_of
from tests.support.parts import Redis
from tests.support.transfers import MIB, fill, miscounted, rclones
from tests.support.waiting import wait_for
from tests.support.worker_process import SCALE, WorkerProcess


@pytest.fixture
def scale() -> float:
    return SCALE


@pytest.fixture
def settings(tmp_path: Path, root: Path, postgres_url: str, redis: Redis, scale: float) -> Settings:
    return load_settings(
        data_dir=tmp_path / "data",
        transfer_roots=(root,),
        database_url=postgres_url,
        redis_url=redis.url,
        test_time_scale=scale,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """A web process that serves nobody; it notifies, and sweeps."""
    settings.prepare()
    executor = CeleryExecutor(settings)
    made = build_app(settings, executor=executor)
    made.testing = False
    executor.start()
    yield made
    executor.stop()
    session.session.remove()
    engine_of(made).dispose()


Start = Callable[..., WorkerProcess]


@pytest.fixture
def worker(app: Flask, settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker; ``launch=False`` leaves that to the test. It is a copy, unless its test is
    about its start or its surroundings."""
    made: list[WorkerProcess] = []

    def start(*arguments: str, launch: bool = True, is_copy: bool = True) -> WorkerProcess:
        log = tmp_path / f"worker {len(made)}.log"
        made.append(WorkerProcess(settings, log, *arguments, is_copy=is_copy))
        return made[-1].start() if launch else made[-1]

    yield start
    for one in made:
        one.clean_up()
    wait_for(lambda: rclones(settings.data_dir) == [])
    assert miscounted() == {}
    assert audit.verify(None).fault == ""
    session.session.remove()


@pytest.fixture
def slow(new_job: Any, root: Path) -> int:
    """A copy of some four seconds."""
    return int(new_job(source=fill(root / "from", MIB, 8), bandwidth_limit="2M"))
