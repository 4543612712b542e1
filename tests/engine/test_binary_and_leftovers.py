"""The binary is fit before it is used, and a portal that dies leaves no rclone behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
import textwrap
from pathlib import Path

import pytest

from portal.engine import EngineError, check_rclone, end_orphans, rclone_path
from portal.engine.process.processes import inspect, process_identity, process_lives, variables
from portal.engine.running.orphans import _signal_all
from tests.shipped import environment as shipped
from tests.support.keepsakes import kept
from tests.support.project import ROOT
from tests.support.scripts import python_program
from tests.support.waiting import wait_for


def program(folder, body):
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_packaged_rclone_is_found_and_new_enough():
    path = rclone_path(None)
    assert path == Path(sysconfig.get_path("scripts")) / "rclone"
    assert tuple(int(part) for part in check_rclone(path).split(".")) >= (1, 75, 0)


def test_configured_rclone_wins():
    assert rclone_path(Path("/opt/rclone")) == Path("/opt/rclone")


def test_missing_rclone_is_named(tmp_path):
    with pytest.raises(EngineError, match="there is no file"):
        check_rclone(tmp_path / "nope")


def test_rclone_that_is_not_executable_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="not executable"):
        check_rclone(tmp_path / "file")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo rclone v1.60.1-DEV", "rclone 1.60.1-DEV at .* is too old: 1.75.0 or newer"),
        ("echo hello", "does not answer as rclone does"),
        ("echo broken >&2; exit 1", "cannot be run: broken"),
        ("exit 1", "it gave no reason"),
        ("exec sleep 9", "did not tell its version"),
    ],
)
def test_unfit_rclone_is_named(tmp_path, monkeypatch, body, reason):
    monkeypatch.setattr("portal.engine.process.binary._TIMEOUT", 0.5)
    with pytest.raises(EngineError, match=reason):
        check_rclone(program(tmp_path, body))


def test_newer_beta_is_accepted(tmp_path):
    said = check_rclone(program(tmp_path, "echo rclone v1.80.0-beta.12"))
    assert said == "1.80.0-beta.12"


def test_missing_setpriv_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("portal.engine.process.binary.SEARCH_PATH", str(tmp_path))
    with pytest.raises(EngineError, match="apt-get install util-linux"):
        check_rclone(rclone_path(None))


def test_setpriv_that_cannot_be_started_is_named(tmp_path, monkeypatch):
    (tmp_path / "setpriv").write_bytes(b"\x7fELF broken")
    (tmp_path / "setpriv").chmod(0o755)
    monkeypatch.setattr("portal.engine.process.binary.SEARCH_PATH", str(tmp_path))
    with pytest.raises(EngineError, match="cannot be started"):
        check_rclone(rclone_path(None))


PARENT = """
import sys
from pathlib import Path
from portal.engine import ProcessSettings, RcloneProcess, TransferOrder
rclone, source, target, data = map(Path, sys.argv[1:])
order = TransferOrder(4711, 1, "copy", str(source), str(target), "100k", False)
transfer = RcloneProcess(ProcessSettings(rclone, data), order)
transfer.start()
for reading in transfer.readings():
    if reading is not None:
        print("running", flush=True)
"""


def portal_with_a_transfer(rclone, source, tmp_path):
    command = [shipped.python(), "-c", PARENT, rclone, source, tmp_path / "to", tmp_path / "data"]
    portal = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=shipped.environment(),
    )
    assert portal.stdout.readline() == b"running\n"
    return portal


def end(portal):
    portal.kill()
    portal.wait()
    portal.stdout.close()


def test_sigkilled_portal_leaves_no_rclone(source, tmp_path, marked):
    portal = portal_with_a_transfer(rclone_path(None), source, tmp_path)
    assert marked(4711)
    end(portal)
    wait_for(lambda: not marked(4711), 3)


@pytest.fixture
def stubborn(tmp_path):
    """An rclone that outlives its portal, with a child."""
    body = "echo '{\"stats\":{}}' >&2; trap '' TERM; sleep 60 & sleep 60; sleep 60"
    return program(tmp_path, body)


def test_sweep_ends_what_outlived_its_portal_and_nothing_else(
    stubborn, source, tmp_path, marked, monkeypatch
):
    monkeypatch.setattr("portal.engine.running.orphans._GRACE", 0.3)
    (tmp_path / "data").mkdir()
    portal = portal_with_a_transfer(stubborn, source, tmp_path)
    assert end_orphans(tmp_path / "data") == 0  # Its portal lives.
    end(portal)
    assert end_orphans(tmp_path) == 0  # Another portal's data.
    assert len(marked(4711)) >= 2
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert end_orphans(tmp_path / "link") == 1
    wait_for(lambda: not marked(4711), 5)
    assert end_orphans(tmp_path / "data") == 0


def test_sweep_ends_a_paused_transfer_before_it_does_anything_more(source, tmp_path, marked):
    (tmp_path / "data").mkdir()
    portal = portal_with_a_transfer(rclone_path(None), source, tmp_path)
    wait_for(lambda: list((tmp_path / "to").rglob("*.portal*-*")), 10)
    for pid in marked(4711):
        os.kill(pid, signal.SIGSTOP)
    end(portal)  # The word of its death waits until it goes on.
    assert marked(4711)
    before = kept(tmp_path / "to")
    assert end_orphans(tmp_path / "data") == 1
    wait_for(lambda: not marked(4711), 5)
    assert kept(tmp_path / "to") == before


def test_process_is_known_by_its_start_time_not_by_its_number():
    identity = process_identity()
    assert process_lives(identity)
    assert not process_lives(f"{os.getpid()}:1")
    assert not process_lives("")
    assert not process_lives("1:x")


def test_zombie_counts_as_dead():
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert inspect(child.pid) is None
    child.wait()
    assert inspect(child.pid) is None
    assert variables(child.pid) == {}


def test_death_between_look_and_signal_is_harmless():
    child = subprocess.Popen(["sleep", "60"])
    found = inspect(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    _signal_all([found], signal.SIGTERM)
    child.wait()
    _signal_all([found], signal.SIGTERM)


GREEN = """
import eventlet
eventlet.monkey_patch()
import json, sys, time
from pathlib import Path
from portal.engine import ProcessSettings, RcloneProcess, TransferOrder, check_rclone, use_threads

use_threads(eventlet.patcher.original("threading").Thread)

gaps = []
def tick():
    while True:
        before = time.monotonic()
        eventlet.sleep(0.01)
        gaps.append(time.monotonic() - before)
eventlet.spawn(tick)

def run(rclone, source, target, stop, limit):
    order = TransferOrder(1, 1, "copy", source, target, limit, False)
    transfer = RcloneProcess(ProcessSettings(rclone, grace=0.3), order)
    transfer.start()
    percents = []
    for reading in transfer.readings():
        if reading is not None:
            percents.append(reading.percent)
            if stop:
                transfer.stop()
    transfer.close()
    outcome = transfer.outcome()
    return [outcome.succeeded, outcome.stopped, percents[-1]]

rclone, flood, source, target = sys.argv[1:]
check_rclone(Path(rclone))
runs = [
    eventlet.spawn(run, Path(rclone), source, target + "/a", False, "3M"),
    eventlet.spawn(run, Path(rclone), source, target + "/b", True, "100k"),
    eventlet.spawn(run, Path(flood), source, target + "/c", False, None),
]
print(json.dumps({"runs": [green.wait() for green in runs], "gap": max(gaps), "n": len(gaps)}))
"""


@pytest.mark.exclusive
def test_under_eventlet_transfers_run_side_by_side_and_the_loop_never_stalls(source, tmp_path):
    flood = python_program(
        tmp_path / "flood",
        textwrap.dedent(
            """\
            import sys
            for _ in range(200):
                sys.stderr.buffer.write((b"x" * 99 + b"\\n") * 1000)
            sys.stderr.buffer.write(b'{"stats":{"bytes":7,"totalBytes":10}}\\n')
            """
        ),
    )
    command = [
        shipped.python(),
        "-W",
        "ignore",
        "-c",
        GREEN,
        rclone_path(None),
        flood,
        source,
        tmp_path,
    ]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=shipped.environment(),
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert said["runs"][0] == [True, False, 100.0]
    assert said["runs"][1][:2] == [False, True]
    assert said["runs"][2] == [True, False, 100.0]
    assert said["n"] > 30
    assert said["gap"] < 0.3
