"""Ends the transfers that a dead portal has left running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from portal.engine.order.runtime_dir import sweep_runtime_dirs
from portal.engine.process.processes import (
    ProcessInfo,
    inspect,
    is_stopped,
    pids,
    process_lives,
    variables,
)

_GRACE = 3.0


def end_orphans(data_dir: Path) -> int:
    """Ends transfers of this data folder whose portal is dead; returns how many there were.

    The environment of a process says which transfer it belongs to. Transfers of a portal that
    lives (another worker on the same folder) are left alone. Takes up to a few seconds.
    """
    home = os.path.realpath(data_dir)
    return _end([found for pid in pids() if (found := _leftover(pid, home)) is not None])


def end_processes_of(identity: str) -> int:
    """Ends the transfers of one dead process, see ``processes.process_identity``."""
    return _end(
        [
            found
            for pid in pids()
            if variables(pid).get("PORTAL_OWNER") == identity
            and (found := inspect(pid)) is not None
        ]
    )


def _end(found: list[ProcessInfo]) -> int:
    # On SIGTERM rclone removes its partial files; it gets time for that. A paused one gets SIGKILL,
    # see ``ProcessGroup.stop``.
    paused = {one.group for one in found if is_stopped(one.group)}
    _signal_all((one for one in found if one.group in paused), signal.SIGKILL)
    _signal_all((one for one in found if one.group not in paused), signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    while any(_still(found) for found in found) and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal_all(found, signal.SIGKILL)
    sweep_runtime_dirs()
    return len({found.group for found in found})


def _leftover(pid: int, home: str) -> ProcessInfo | None:
    found = inspect(pid)
    if found is None:
        return None
    environ = variables(pid)
    if "PORTAL_JOB_ID" not in environ or environ.get("PORTAL_DATA") != home:
        return None
    return None if process_lives(environ.get("PORTAL_OWNER", "")) else found


def _still(found: ProcessInfo) -> bool:
    return inspect(found.pid) == found


def _signal_all(processes: Iterable[ProcessInfo], number: signal.Signals) -> None:
    for found in processes:
        try:
            handle = os.pidfd_open(found.pid)
        except OSError:
            continue
        try:
            # Compared after the handle was taken: the pid may belong to another process by now.
            if _still(found):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
        finally:
            os.close(handle)
