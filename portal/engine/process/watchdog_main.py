"""The watchdog's own program: ends rclone's groups when its worker dies, freezes or goes silent.

It is a process in a session of its own: a signal that stops the worker does not stop it. It reads
lines from standard input; times are those of CLOCK_BOOTTIME:

    hold PID TIME     watch this group (by its leader); its lease was renewed at TIME
    release PID       the group is dead
    kept TIME         the leases of all groups were renewed at TIME
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

from portal.engine.process.processes import ProcessInfo, inspect, is_stopped

_CHUNK = 65536
_STEP = 0.25


class _Groups:
    def __init__(self, silence: float, grace: float) -> None:
        self._silence = silence
        self._grace = grace
        self._held: dict[int, tuple[ProcessInfo, float]] = {}
        self._kept_at = 0.0
        self._ended: dict[int, float] = {}

    def handle(self, line: str) -> None:
        word, *values = line.split()
        if word == "kept":
            self._kept_at = float(values[0])
        elif word == "release":
            self._held.pop(int(values[0]), None)
            self._ended.pop(int(values[0]), None)
        elif word == "hold" and (leader := inspect(int(values[0]))):
            self._held[leader.pid] = leader, float(values[1])

    def kill_if_overdue(self, moment: float) -> None:
        """Ends the groups whose lease was not renewed for too long. It kills them: another worker
        may have the job by now, and rclone would take its time to tidy up after SIGTERM."""
        for leader, kept_at in self._held.values():
            if moment >= max(kept_at, self._kept_at) + self._silence and _lives(leader):
                _signal(leader, signal.SIGKILL)

    def end_all(self) -> None:
        """The worker is dead. Sends SIGTERM, and SIGKILL after the grace: an rclone that waits for
        a silent storage never ends by itself. A paused one gets SIGKILL, see ``ProcessGroup.stop``.
        Returns when all groups are dead."""
        while alive := [leader for leader, _ in self._held.values() if _lives(leader)]:
            for leader in alive:
                self._end(leader, _now())
            time.sleep(_STEP)

    def _end(self, leader: ProcessInfo, moment: float) -> None:
        since = self._ended.setdefault(leader.pid, moment)
        overdue = moment >= since + self._grace or is_stopped(leader.pid)
        if (overdue or since == moment) and _lives(leader):
            _signal(leader, signal.SIGKILL if overdue else signal.SIGTERM)


def _signal(leader: ProcessInfo, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, number)


def _lives(leader: ProcessInfo) -> bool:
    return inspect(leader.pid) == leader


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def watch(source: int, silence: float, grace: float) -> None:
    """Until the end of ``source``."""
    groups = _Groups(silence, grace)
    begun = b""
    while True:
        ready, _, _ = select.select([source], [], [], _STEP)
        if ready:
            chunk = os.read(source, _CHUNK)
            if not chunk:
                groups.end_all()
                return
            *lines, begun = (begun + chunk).split(b"\n")
            for line in lines:
                groups.handle(line.decode("ascii"))
        groups.kill_if_overdue(_now())


def main(silence: float, grace: float) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it goes when its worker goes
    watch(0, silence, grace)
