"""Several serving processes on one port, and the one that starts them and looks after them.

It serves nothing itself and is not cooperative: it starts, waits, starts again what died, and
hands on the signals. What a serving process has to say it says itself, on the same output.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import structlog

from portal.db import migrate, session
from portal.db.instance_lock import DatabaseLock
from portal.errors import PortalError
from portal.runtime import resources, stopping
from portal.runtime.file_lock import Locked
from portal.runtime.logging import say
from portal.server import startup
from portal.settings import Settings
from portal.worker.roots import look_at_roots

log = structlog.get_logger(__name__)

_LOOK = 0.1
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 30.0
#: Seconds after which a process that died was a good one, and is started again at once.
_GOOD = 60.0
_START_PATIENCE = 60.0
_STOP_PATIENCE = 8.0


class StartFailed(PortalError):
    """A serving process ended before it served."""


@dataclass
class _Child:
    slot: int
    process: subprocess.Popen[bytes]
    pipe: int
    since: float = field(default_factory=time.monotonic)
    serving: bool = False

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def age(self) -> float:
        return time.monotonic() - self.since


def supervise(settings: Settings, processes: int, *, migrate_first: bool = True) -> None:
    """Serves by so many processes until SIGTERM or SIGINT. SIGHUP replaces them, one by one, by
    what is installed by then."""
    stopping.listen(hangup_ends=False)
    settings.prepare()
    resources.refuse_incomplete()
    look_at_roots(settings)
    settings.signing_key()  # made once, before several would
    reserved = startup.reserve(settings.host, settings.port)
    held = DatabaseLock(settings.database_url, alone=False)
    held.acquire()
    if migrate_first:
        migrate.upgrade(settings)
    else:
        migrate.refuse_older(settings)
    engine = session.connect(settings.database_url)
    startup.first_admin(settings)
    engine.dispose()
    stopping.go_on()
    with reserved:
        Supervisor(settings, processes, migrate_first=migrate_first, held=held).run()
    held.release()


class Supervisor:
    def __init__(
        self,
        settings: Settings,
        processes: int,
        *,
        migrate_first: bool,
        held: DatabaseLock | None = None,
    ) -> None:
        """``held`` is watched: without it the processes must not go on."""
        self._settings = settings
        self._slots = range(processes)
        self._held = held
        self._migrate_first = migrate_first
        self._children: dict[int, _Child] = {}
        self._leaving: list[_Child] = []
        self._delays = dict.fromkeys(self._slots, 0.0)
        self._due: dict[int, float] = {}
        self._hangups: list[int] = []

    def run(self) -> None:
        stopping.listen(hangup_ends=False)
        # A handler may run in the middle of anything, so it notes the signal and nothing else.
        signal.signal(signal.SIGHUP, lambda caught, _frame: self._hangups.append(caught))
        try:
            self._start_all()
            self._look_after_them()
        finally:
            self._stop_all()
        log.info("stopped")

    # --- their lives ----------------------------------------------------------------------------

    def _start_all(self) -> None:
        for slot in self._slots:
            self._children[slot] = self._started(slot)
        deadline = time.monotonic() + _START_PATIENCE
        while not all(child.serving for child in self._children.values()):
            if self._is_stopping():
                return
            self._look()
            if self._due:
                raise StartFailed("A serving process could not start; it says above why.")
            if time.monotonic() > deadline:
                raise StartFailed(f"Not all processes serve after {_START_PATIENCE:.0f} s.")
            time.sleep(_LOOK)
        url = self._settings.own_url
        log.info("serving", url=url, processes=len(self._slots), pid=os.getpid())
        say(f"Transfer Portal on {url}")

    def _look_after_them(self) -> None:
        while not self._is_stopping():
            self._look()
            if self._hangups:
                self._hangups.pop()
                self._replace_all()
            if self._held is not None and self._held.lost_to:
                raise Locked(f"Another portal ({self._held.lost_to}) has taken the database.")
            time.sleep(_LOOK)
        log.info("stopping", signal=stopping.asked())

    def _started(self, slot: int) -> _Child:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        command = [
            *(sys.executable, sys.argv[0], "run", "--no-migrate"),
            *("--host", self._settings.host, "--port", str(self._settings.port)),
            *("--slot", str(slot), "--lifeline", str(writing)),
        ]
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(writing,))
        finally:
            os.close(writing)
        log.info("process started", slot=slot, pid=process.pid)
        return _Child(slot, process, reading)

    def _look(self) -> None:
        """Notes who serves by now and who died, and starts anew those whose time has come."""
        for slot, child in list(self._children.items()):
            if not child.serving and _says_ready(child):
                child.serving = True
            if not child.is_alive():
                del self._children[slot]
                self._mourn(child)
        for slot, due in list(self._due.items()):
            if time.monotonic() >= due:
                del self._due[slot]
                self._children[slot] = self._started(slot)

    def _mourn(self, child: _Child) -> None:
        os.close(child.pipe)
        before = 0.0 if child.age() > _GOOD else self._delays[child.slot]
        delay = min(_LONGEST_DELAY, before * 2) if before else _FIRST_DELAY
        self._delays[child.slot] = delay
        self._due[child.slot] = time.monotonic() + delay
        log.error(
            "process died",
            slot=child.slot,
            pid=child.process.pid,
            code=child.process.returncode,
            again_in=delay,
        )

    # --- replacing them -------------------------------------------------------------------------

    def _replace_all(self) -> None:
        """One new process at a time, and its predecessor goes once it serves. Where the new cannot
        start, the old stay."""
        log.info("replacing the processes")
        if self._migrate_first and not self._migrated():
            log.error("the database was not migrated; the processes stay as they are")
            return
        for slot in self._slots:
            if self._is_stopping() or not self._replace(slot):
                return
        log.info("the processes are replaced")

    def _migrated(self) -> bool:
        # By a process of its own: it runs what is installed now, this one what was at its start.
        with subprocess.Popen([sys.executable, sys.argv[0], "db", "upgrade"]) as migrating:
            while migrating.poll() is None and not self._is_stopping():
                self._look()
                time.sleep(_LOOK)
        return migrating.returncode == 0

    def _replace(self, slot: int) -> bool:
        fresh = self._started(slot)
        deadline = time.monotonic() + _START_PATIENCE
        while not (ready := _says_ready(fresh)) and fresh.is_alive() and not self._is_stopping():
            if time.monotonic() > deadline:
                break
            self._look()
            time.sleep(_LOOK)
        if not ready:
            log.error("the new process does not serve; the old ones stay", slot=slot)
            self._end([fresh])
            return False
        fresh.serving = True
        self._due.pop(slot, None)
        old = self._children.get(slot)
        self._children[slot] = fresh
        if old is not None:
            self._end([old])
        return True

    # --- the end --------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        self._end([*self._children.values(), *self._leaving])
        self._children.clear()

    def _end(self, children: list[_Child]) -> None:
        self._leaving = children
        for child in children:
            child.process.terminate()
        deadline = time.monotonic() + _STOP_PATIENCE
        for child in children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("process does not end; killed", pid=child.process.pid)
                child.process.kill()
                child.process.wait()
            os.close(child.pipe)
        self._leaving = []

    def _is_stopping(self) -> bool:
        return stopping.asked() is not None


def _says_ready(child: _Child) -> bool:
    try:
        return os.read(child.pipe, 1) == b"1"
    except BlockingIOError:
        return False
