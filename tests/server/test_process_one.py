"""The portal as process 1 of a container that brings no init, and as one that adopts orphans."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from portal.settings import load_settings
from tests.shipped import environment as shipped
from tests.support.parts import Redis
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.project import ROOT
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs the rights of root")

#: A process that leaves an orphan behind: its child ends after it.
ORPHAN = "import os, time\nif os.fork() == 0:\n    time.sleep(0.3)\nos._exit(0)\n"
#: `rclone` as the portal asks for its version; each call leaves an orphan as well.
RCLONE = f"#!/bin/sh\n{sys.executable} -c '{ORPHAN}'\nexec RCLONE \"$@\"\n"


def children_of(pid: int) -> dict[int, str]:
    """Its children and the state of each."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found[int(entry.name)] = fields[0]
    return found


def adopt_orphans() -> None:
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


@contextmanager
def started(
    folder: Path,
    command: list[str],
    environment: dict[str, str],
    ready: str,
    before: Callable[[], None] | None = None,
) -> Iterator[subprocess.Popen[Any]]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=before,  # noqa: PLW1509 - one system call, no lock
        )
    try:
        wait_for(lambda: ready in log.read_text() or process.poll() is not None, 40)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()


@pytest.fixture
def server(tmp_path: Path) -> PortalServer:
    """Not started by itself. Its rclone leaves an orphan behind, as one with a remote does."""
    found = Path(sys.executable).with_name("rclone")
    fake = tmp_path / "rclone"
    fake.write_text(RCLONE.replace("RCLONE", str(found)))
    fake.chmod(0o755)
    return PortalServer(tmp_path, PORTAL_RCLONE=str(fake))


def leave_orphans(server: PortalServer) -> None:
    """Three jobs, each by an rclone of its own."""
    (server.root / "from").mkdir(exist_ok=True)
    (server.root / "from" / "file").write_text("content")
    admin = Person(server)
    assert admin.sign_in("admin", PASSWORD).status_code == 303
    for number in range(3):
        order = {
            "name": "Copy",
            "operation": "copy",
            "source": str(server.root / "from"),
            "destination": str(server.root / f"to {number}"),
            "bandwidth_limit": "",
        }
        assert admin.post("/jobs", **order).status_code == 303
        wait_for((server.root / f"to {number}" / "file").exists, 20)


def stays_without_zombies(pid: int) -> None:
    """What it adopted ends and is reaped, so that the portal alone is its child."""
    wait_for(lambda: len(children_of(pid)) == 1, 10)
    assert "Z" not in children_of(pid).values()


@as_root
def test_process_one_reaps_what_is_left_to_it(server: PortalServer, tmp_path: Path) -> None:
    alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with started(
        tmp_path, [*alone, shipped.python(), "manage.py", "run"], server.environment, "on http"
    ) as unshare:
        (first,) = children_of(unshare.pid)
        leave_orphans(server)
        stays_without_zombies(first)

        begun = time.monotonic()
        os.kill(first, signal.SIGTERM)  # as `docker stop` does
        assert unshare.wait(10) == 0
        assert time.monotonic() - begun < 10
    assert [path.name for path in server.data.glob("portal.sqlite*")] == ["portal.sqlite"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_process_that_adopts_orphans_reaps_them_and_hands_on_its_signals(
    server: PortalServer, tmp_path: Path, number: signal.Signals
) -> None:
    command = [shipped.python(), "manage.py", "run"]
    with started(tmp_path, command, server.environment, "on http", adopt_orphans) as process:
        leave_orphans(server)
        stays_without_zombies(process.pid)
        process.send_signal(number)
        assert process.wait(10) == 0


def test_portal_goes_with_its_process_one(server: PortalServer, tmp_path: Path) -> None:
    command = [shipped.python(), "manage.py", "run"]
    with started(tmp_path, command, server.environment, "on http", adopt_orphans) as process:
        (portal,) = children_of(process.pid)
        process.kill()
        process.wait()
        wait_for(lambda: not Path(f"/proc/{portal}").exists())
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{server.url}/healthz", timeout=2)


def test_process_one_says_why_the_portal_could_not_start(tmp_path: Path) -> None:
    server = PortalServer(tmp_path, PORTAL_PORT="http")
    done = subprocess.run(
        [shipped.python(), "manage.py", "run"],
        cwd=ROOT,
        env=shipped.environment(server.environment),
        capture_output=True,
        text=True,
        timeout=20,
        preexec_fn=adopt_orphans,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: PORTAL_PORT: ")


def test_worker_as_process_one_reaps_too(tmp_path: Path, postgres_url: str, redis: Redis) -> None:
    settings = load_settings(data_dir=tmp_path, database_url=postgres_url, redis_url=redis.url)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PORTAL_")},
        "PORTAL_DATA_DIR": str(settings.data_dir),
        "PORTAL_DATABASE_URL": settings.database_url,
        "PORTAL_REDIS_URL": settings.redis_url,
    }
    command = [shipped.python(), "manage.py", "worker"]
    with started(tmp_path, command, environment, "Worker ", adopt_orphans) as process:
        (worker,) = children_of(process.pid)
        named = re.search(r"Worker \S+:(\d+)", (tmp_path / "log").read_text())
        assert named is not None
        assert int(named[1]) == worker
        process.terminate()
        assert process.wait(10) == 0
