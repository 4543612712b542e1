"""A copy is a process as any other: what its parent learns of it, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.portal_server import CopiedPortal
from tests.support.process_copies import Copy, copy


@pytest.fixture
def portal(tmp_path: Path, migrated: Path) -> Iterator[CopiedPortal]:
    made = CopiedPortal(tmp_path)
    (made.data / "portal.sqlite").write_bytes(migrated.read_bytes())
    made.start()
    yield made
    made.clean_up()


def is_there(pid: int) -> bool:
    """Also as a zombie."""
    return Path(f"/proc/{pid}").exists()


def test_it_leads_a_session_and_leaves_nothing_when_it_has_been_stopped(
    portal: CopiedPortal,
) -> None:
    pid = portal.pid
    assert os.getsid(pid) == os.getpgid(pid) == pid
    outputs = [Path(f"/proc/{pid}/fd/{number}") for number in (1, 2)]
    assert {one.readlink() for one in outputs} == {portal._log}
    assert portal.stop() == 0
    assert not is_there(pid)
    assert "event=stopped" in portal.log


def test_death_by_a_signal_is_a_negative_code(portal: CopiedPortal) -> None:
    process = portal._process
    assert isinstance(process, Copy)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == process.poll() == process.returncode == -signal.SIGKILL
    assert not is_there(process.pid)
    process.kill()  # whoever has its pid now


def test_it_has_nothing_but_the_variables_that_it_was_given(tmp_path: Path) -> None:
    log = tmp_path / "log"
    variables = {"PORTAL_PORT": "http", "PORTAL_DATA_DIR": str(tmp_path / "data")}
    for words in (("run",), ("worker",)):
        log.write_text("")
        assert copy(*words, variables=variables, log=log).wait(20) == 1
        assert log.read_text().startswith("Error: PORTAL_PORT: ")


def test_original_has_started_nothing(portal: CopiedPortal) -> None:
    status = Path(f"/proc/{portal.pid}/stat").read_text()
    original = int(status.rpartition(")")[2].split()[1])
    assert len(list(Path(f"/proc/{original}/task").iterdir())) == 1
    opened = [str(one.readlink()) for one in Path(f"/proc/{original}/fd").iterdir()]
    assert not [one for one in opened if one.startswith(("socket:", "anon_inode:"))]
