"""Two portals on one database would each think the other's jobs dead.

Those that hold the database are copies, see ``process_copies``; those that are refused start as
people start them.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from portal.settings import load_settings
from tests.shipped import environment as shipped
from tests.support.parts import Postgres, Redis
from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer
from tests.support.project import ROOT
from tests.support.waiting import wait_for
from tests.support.worker_process import WorkerProcess


@contextmanager
def portal(folder: Path, **settings: str) -> Iterator[PortalServer]:
    server = CopiedPortal(folder, **settings)
    try:
        yield server
    finally:
        server.clean_up()


def refusal(server: PortalServer, *command: str) -> str:
    """What a start says that must fail."""
    done = subprocess.run(
        [shipped.python(), "manage.py", *(command or ("run",))],
        cwd=ROOT,
        env=shipped.environment(server.environment),
        capture_output=True,
        text=True,
        timeout=40,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    return said


@pytest.fixture
def pair(tmp_path: Path, postgres_url: str) -> Iterator[tuple[PortalServer, PortalServer]]:
    """Two portals for one database of PostgreSQL; neither runs yet."""
    there = {"PORTAL_DATABASE_URL": postgres_url}
    with (
        portal(tmp_path / "first", **there) as first,
        portal(tmp_path / "second", **there) as second,
    ):
        yield first, second


def test_second_portal_on_a_file_is_refused_whatever_the_file_is_called(tmp_path: Path) -> None:
    with portal(tmp_path / "first") as first, portal(tmp_path / "second") as second:
        first.start()
        file = first.data / "portal.sqlite"
        (tmp_path / "link").symlink_to(file)
        (tmp_path / "hard link").hardlink_to(file)
        (tmp_path / "way").symlink_to(first.data)
        for other in (
            file,
            tmp_path / "link",
            tmp_path / "hard link",
            tmp_path / "way" / "." / "portal.sqlite",
        ):
            second._settings["PORTAL_DATABASE_URL"] = f"sqlite:///{other}"
            said = refusal(second)
            assert "Another portal uses the database" in said
            assert "PORTAL_DATABASE_URL" in said
        first.manage("create-user", "dora", "--role", "viewer")  # commands may

        first.kill()
        second.start()
        assert second.stop() == 0


def test_second_portal_on_postgresql_is_refused_until_the_first_is_gone(
    pair: tuple[PortalServer, PortalServer],
) -> None:
    first, second = pair
    first.start()
    said = refusal(second)
    assert f"process {first.pid}) uses this database" in said

    first.kill()
    second.start()
    said = refusal(first)
    assert f"process {second.pid}) uses this database" in said
    assert second.stop() == 0


@pytest.mark.parametrize("process", ["worker", "run", "run --processes 2"])
def test_portal_of_one_process_and_one_of_several_do_not_share_a_database(
    tmp_path: Path, postgres_url: str, redis: Redis, process: str
) -> None:
    there = {"PORTAL_DATABASE_URL": postgres_url, "PORTAL_SECRET_KEY": "a key of them all " * 2}
    several = {**there, "PORTAL_REDIS_URL": redis.url}
    with (
        portal(tmp_path / "one", **there) as one,
        portal(tmp_path / "several", **several) as other,
    ):
        one.start()
        assert "uses this database" in refusal(other, *process.split())
        assert one.stop() == 0

        running = subprocess.Popen(
            [shipped.python(), "manage.py", *process.split()],
            cwd=ROOT,
            env=shipped.environment(other.environment),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert running.stdout is not None
        while "Worker " not in (line := running.stdout.readline()) and "on http" not in line:
            assert line, "it ended"
        assert "uses this database" in refusal(one)
        running.terminate()
        assert running.wait(10) == 0
        running.stdout.close()


def test_lock_is_taken_again_after_a_restart_of_postgresql(
    pair: tuple[PortalServer, PortalServer], postgres: Postgres, postgres_url: str
) -> None:
    first, second = pair
    first.start()
    postgres.stop()
    postgres.start()
    wait_for(lambda: locks(postgres, postgres_url) == 1, 20)

    assert f"process {first.pid})" in refusal(second)
    assert Person(first, "bob").get("/jobs").status_code == 200
    assert first.stop() == 0


def test_portal_whose_lock_was_taken_meanwhile_ends_and_says_so(
    pair: tuple[PortalServer, PortalServer], postgres: Postgres
) -> None:
    """It was frozen while PostgreSQL restarted; another one was started in its place."""
    first, second = pair
    first.start()
    os.kill(first.pid, signal.SIGSTOP)
    postgres.kill()
    postgres.start()
    second.start()
    os.kill(first.pid, signal.SIGCONT)

    process: Any = first._process
    assert process.wait(20) == 1
    first._process = None
    assert f"process {second.pid}) has taken the database" in first.log
    assert "Traceback" not in first.log
    assert second.stop() == 0


def locks(postgres: Postgres, url: str) -> int:
    import psycopg

    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1886351988"
        ).fetchone()
    return int(found[0]) if found else 0


def test_workers_that_start_together_after_both_were_killed_take_back_and_begin(
    tmp_path: Path, root: Path, postgres_url: str, redis: Redis
) -> None:
    """Each finds the same dead ones, and neither minds that the other has found them before."""
    settings = load_settings(
        data_dir=tmp_path / "data",
        transfer_roots=(root,),
        database_url=postgres_url,
        redis_url=redis.url,
    )
    workers = [WorkerProcess(settings, tmp_path / f"{name}.log", is_copy=True) for name in "ab"]
    try:
        for _ in range(4):
            for worker in workers:
                worker.launch()
            for worker in workers:
                wait_for(worker.is_ready, 30)
            for worker in workers:
                worker.kill()
    finally:
        for worker in workers:
            worker.clean_up()
    assert all(
        "has ended" not in worker.log and "Traceback" not in worker.log for worker in workers
    )
