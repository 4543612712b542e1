"""Runs a command of the real rclone within the confinement of an order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portal.engine import TransferOrder, rclone_path
from portal.engine.order import confinement
from portal.engine.process import landlock
from portal.engine.process.binary import setpriv_path
from portal.engine.process.group import ProcessGroup
from tests.support.waiting import wait_for

RCLONE = rclone_path(None)
needs_landlock = pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")


def run_confined(order: TransferOrder, *arguments: str | Path) -> tuple[int, str]:
    """Returns the exit code and all that it said. A folder ``runtime_dir`` beside the destination
    stands for that of an attempt."""
    runtime_dir = Path(order.destination).parent / "runtime_dir"
    setpriv = setpriv_path()
    group = ProcessGroup(
        [setpriv, "--pdeathsig", "TERM", "--", str(RCLONE), *map(str, arguments), "--config", ""],
        {"PATH": os.environ["PATH"]},
        output=True,
        rules=confinement.of_order(RCLONE, setpriv, order, runtime_dir),
    )
    with group.stdout, group.stderr:
        said = group.stdout.read() + group.stderr.read()
    wait_for(group.reap)
    return group.exit_code or 0, said.decode()
