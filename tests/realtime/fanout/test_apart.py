"""Properties that are tried in a process of their own.

They import portal.realtime.fanout, and with it eventlet, which puts its own sockets into
http.server: the servers of other tests in the same process would never answer.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize(("name", "number"), [("backlogs", 3), ("environs", 4)])
def test_properties_hold(name: str, number: int) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / f"{name}.py"],
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{number} passed" in run.stdout
