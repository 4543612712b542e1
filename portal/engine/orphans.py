"""Ends what a portal that died has left running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from portal.engine.processes import Sighting, look, owner_lives, pids, variables
from portal.engine.runtime_dir import sweep_workplaces

_GRACE = 3.0


def sweep_leftovers(data_dir: Path) -> int:
    """Ends transfers of this data folder whose portal is dead; returns how many there were.

    A process belongs to a transfer by the environment it was started with. One whose portal
    lives (another worker on the same folder) is left alone. Takes up to a few seconds.
    """
    home = os.path.realpath(data_dir)
    return _end([sight for pid in pids() if (sight := _leftover(pid, home)) is not None])


def sweep_owner(mark: str) -> int:
    """The same for the transfers of one dead process, see ``processes.owner_mark``."""
    return _end(
        [
            sight
            for pid in pids()
            if variables(pid).get("PORTAL_OWNER") == mark and (sight := look(pid)) is not None
        ]
    )


def _end(found: list[Sighting]) -> int:
    # rclone removes its partial files on SIGTERM, so it gets the time to.
    _signal_all(found, signal.SIGTERM)
    _signal_all(found, signal.SIGCONT)  # one that was paused hears nothing else
    deadline = time.monotonic() + _GRACE
    while any(_still(sight) for sight in found) and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal_all(found, signal.SIGKILL)
    sweep_workplaces()
    return len({sight.group for sight in found})


def _leftover(pid: int, home: str) -> Sighting | None:
    sight = look(pid)
    if sight is None:
        return None
    told = variables(pid)
    if "PORTAL_JOB_ID" not in told or told.get("PORTAL_DATA") != home:
        return None
    return None if owner_lives(told.get("PORTAL_OWNER", "")) else sight


def _still(sight: Sighting) -> bool:
    return look(sight.pid) == sight


def _signal_all(sights: Iterable[Sighting], number: signal.Signals) -> None:
    for sight in sights:
        try:
            handle = os.pidfd_open(sight.pid)
        except OSError:
            continue
        try:
            # Compared after the handle was taken: a pid given to another in between is spared.
            if _still(sight):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
        finally:
            os.close(handle)
