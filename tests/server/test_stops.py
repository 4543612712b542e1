"""Ends that were asked for: by any signal, at any moment, however often; and what they leave."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from portal.db import migrate, session
from portal.runtime import stopping
from portal.settings import load_settings
from tests.shipped import environment as shipped
from tests.support.people import Person
from tests.support.portal_rows import column, is_moving
from tests.support.portal_server import PortalServer, with_users
from tests.support.project import ROOT
from tests.support.transfers import MIB, fill, rclones
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

OPERATIONS = ROOT / "docs" / "operations.md"
ENDING = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture
def portal(tmp_path: Path, migrated: Path) -> Iterator[PortalServer]:
    server = with_users(tmp_path, migrated)
    yield server
    server.clean_up()


def end(portal: PortalServer, number: signal.Signals, *, times: int = 1) -> int:
    process = portal._process
    assert process is not None
    begun = time.monotonic()
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)  # two that come within a moment are one to the kernel
    code = process.wait(10)
    assert time.monotonic() - begun < 10
    portal._process = None
    return code


def counted_in(copy: Path, table: str) -> int:
    with closing(sqlite3.connect(copy)) as opened:
        return int(opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def begin_a_sync(portal: PortalServer) -> None:
    bob = Person(portal, "bob")
    order = {
        "name": "Slow",
        "operation": "sync",
        "source": str(fill(portal.root / "from", MIB, 4)),
        "destination": str(portal.root / "to"),
        "bandwidth_limit": "1M",
    }
    assert bob.post("/jobs", **order).status_code == 303


@pytest.mark.parametrize("number", ENDING)
def test_stop_leaves_one_whole_file_and_the_job_in_the_queue(
    portal: PortalServer, number: signal.Signals, tmp_path: Path
) -> None:
    portal.start()
    begin_a_sync(portal)
    wait_for(lambda: is_moving(portal, 1))

    assert end(portal, number) == 0

    assert sorted(path.name for path in portal.data.glob("portal.sqlite*")) == ["portal.sqlite"]
    shutil.copy(portal.data / "portal.sqlite", tmp_path / "copied.sqlite")
    assert counted_in(tmp_path / "copied.sqlite", "users") == 4
    assert counted_in(tmp_path / "copied.sqlite", "jobs") == 1
    assert column(portal, 1, "status") == "queued"
    assert rclones(portal.data) == []
    assert "Traceback" not in portal.log


def test_more_signals_change_nothing(portal: PortalServer) -> None:
    portal.start()
    begin_a_sync(portal)
    wait_for(lambda: is_moving(portal, 1))

    assert end(portal, signal.SIGTERM, times=12) == 0
    assert column(portal, 1, "status") == "queued"


def test_copied_file_of_a_stopped_portal_is_a_backup(portal: PortalServer, tmp_path: Path) -> None:
    """As docs/operations.md says it: stop, cp, and the copy is started elsewhere."""
    portal.start()
    portal.create_users({"dora": "viewer"})
    assert portal.stop() == 0
    elsewhere = PortalServer(tmp_path / "elsewhere")
    found = re.search(r"`(cp -p instance/[^`]*)`", OPERATIONS.read_text())
    assert found is not None
    (tmp_path / "instance").symlink_to(portal.data)
    command = found[1].replace("/backup/", f"'{elsewhere.data}/'")
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)  # noqa: S602 - our own line
    elsewhere.start()

    answer = Person(elsewhere).sign_in("dora", PASSWORD)
    assert answer.status_code == 303
    assert elsewhere.stop() == 0
    elsewhere.clean_up()


def test_command_beside_nobody_leaves_one_file(portal: PortalServer) -> None:
    portal.manage("create-user", "dora", "--role", "viewer")

    assert sorted(path.name for path in portal.data.glob("portal.sqlite*")) == ["portal.sqlite"]


def test_command_beside_a_portal_takes_nothing_from_it(portal: PortalServer) -> None:
    portal.start()
    for name in ("dora", "emil"):
        portal.manage("create-user", name, "--role", "viewer")
    bob = Person(portal, "bob")
    assert bob.post("/settings", theme="dark").status_code == 303
    assert portal.stop() == 0

    assert counted_in(portal.data / "portal.sqlite", "users") == 6


def test_portal_that_was_started_by_nohup_outlives_its_terminal(portal: PortalServer) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    try:
        portal.start()
    finally:
        signal.signal(signal.SIGHUP, before)
    os.kill(portal.pid, signal.SIGHUP)

    assert Person(portal, "bob").get("/jobs").status_code == 200
    assert portal.stop() == 0


def catches_sighup(process: subprocess.Popen[str]) -> bool:
    """Whether Python has come as far as the first line of ours. Python itself catches SIGINT, what
    measures it SIGTERM; SIGHUP is ours alone, and the last of them that we take."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGHUP - 1) & 1)


@pytest.mark.parametrize("number", ENDING[:2])
def test_start_that_is_stopped_at_any_moment_leaves_a_portal_that_starts(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Moments from the first line of Python to the first visitor, on an empty data folder."""
    for moment in range(7):
        server = PortalServer(tmp_path / str(moment))
        process = subprocess.Popen(
            # Where the tests themselves were started by nohup, it would not take SIGHUP.
            ["env", "--default-signal=HUP", shipped.python(), "manage.py", "run"],
            cwd=ROOT,
            env=shipped.environment(server.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(lambda: catches_sighup(process))  # noqa: B023 - called at once
        time.sleep(moment * 0.4)
        process.send_signal(number)
        said = process.communicate(timeout=10)[0]

        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert [path.name for path in server.data.glob("portal.sqlite-*")] == []
    server.start()
    assert server.stop() == 0


def test_migration_that_is_stopped_between_two_statements_takes_all_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(data_dir=tmp_path)
    settings.prepare()
    migrate.upgrade(settings, "0001")
    before = counted_in(tmp_path / "portal.sqlite", "sqlite_master")
    looks = iter(range(1000))
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "requested", lambda: signal.SIGTERM if next(looks) > 60 else None)
        with pytest.raises(stopping.StopRequested):
            migrate.upgrade(settings)

    assert next(looks) > 60
    assert counted_in(tmp_path / "portal.sqlite", "sqlite_master") == before
    migrate.upgrade(settings)
    assert counted_in(tmp_path / "portal.sqlite", "sqlite_master") > before
    session.close()


def test_migration_that_is_stopped_in_a_long_statement_takes_all_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(data_dir=tmp_path)
    settings.prepare()
    migrate.upgrade(settings, "0004")
    with closing(sqlite3.connect(tmp_path / "portal.sqlite")) as opened, opened:
        opened.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
            "INSERT INTO audit SELECT i, '2026-01-01', NULL, '', 'test', '', '', 'done', '' FROM n"
        )
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "raise_if_requested", lambda: None)
        patch.setattr(stopping, "requested", lambda: signal.SIGTERM)
        with pytest.raises(OperationalError):
            migrate.upgrade(settings, "0005")

    assert counted_in(tmp_path / "portal.sqlite", "audit") == 20_000
    migrate.upgrade(settings)
    assert counted_in(tmp_path / "portal.sqlite", "audit") == 20_000
    session.close()


def test_start_that_is_killed_at_any_moment_leaves_a_portal_that_starts(tmp_path: Path) -> None:
    server = PortalServer(tmp_path)
    for moment in range(9):
        process = subprocess.Popen(
            [shipped.python(), "manage.py", "run"],
            cwd=ROOT,
            env=shipped.environment(server.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.4 + moment * 0.15)
        process.kill()
        process.wait()
    server.start()

    assert Person(server).sign_in("admin", PASSWORD).status_code == 303
    assert server.stop() == 0
