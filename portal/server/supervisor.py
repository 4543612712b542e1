"""Starts several serving processes on one port and supervises them.

The supervisor serves nothing itself and does not use eventlet: it starts processes, starts those
again that died, and hands on signals. The serving processes write to the same output themselves.
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
from portal.services.runtime import keys_of
from portal.services.storage import key_agreement
from portal.settings import Settings
from portal.worker.roots import look_at_roots

log = structlog.get_logger(__name__)

_POLL_INTERVAL = 0.1
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 30.0
#: A process that lived for so many seconds is started again after the shortest delay.
_HEALTHY_AFTER = 60.0
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 8.0


class StartFailed(PortalError):
    """Raised when a serving process ends before it serves."""


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
    """Serves with so many processes until SIGTERM or SIGINT. SIGHUP replaces them one by one, with
    the code that is installed by then."""
    stopping.install_handlers(hangup_ends=False)
    settings.prepare()
    resources.refuse_incomplete()
    look_at_roots(settings)
    settings.signing_key()  # made here once: otherwise several processes would make one
    reserved = startup.reserve(settings.host, settings.port)
    lock = DatabaseLock(settings.database_url, alone=False)
    lock.acquire()
    if migrate_first:
        migrate.upgrade(settings)
    else:
        migrate.refuse_older(settings)
    engine = session.connect(settings.database_url)
    key_agreement.of_serving(keys_of(settings), alone=not lock.shared)
    startup.first_admin(settings)
    engine.dispose()
    stopping.raise_if_requested()
    with reserved:
        Supervisor(settings, processes, migrate_first=migrate_first, lock=lock).run()
    lock.release()


class Supervisor:
    def __init__(
        self,
        settings: Settings,
        processes: int,
        *,
        migrate_first: bool,
        lock: DatabaseLock | None = None,
    ) -> None:
        """``lock``: when another portal takes it, the processes must not go on."""
        self._settings = settings
        self._slots = range(processes)
        self._lock = lock
        self._migrate_first = migrate_first
        self._children: dict[int, _Child] = {}
        self._leaving: list[_Child] = []
        self._delays = dict.fromkeys(self._slots, 0.0)
        self._due: dict[int, float] = {}
        self._hangups: list[int] = []

    def run(self) -> None:
        stopping.install_handlers(hangup_ends=False)
        # A handler may run in the middle of anything, so it notes the signal and nothing else.
        signal.signal(signal.SIGHUP, lambda caught, _frame: self._hangups.append(caught))
        try:
            self._start_all()
            self._monitor()
        finally:
            self._end([*self._children.values(), *self._leaving])
        log.info("stopped")

    # --- starting and restarting ----------------------------------------------------------------

    def _start_all(self) -> None:
        for slot in self._slots:
            self._children[slot] = self._start(slot)
        deadline = time.monotonic() + _START_TIMEOUT
        while not all(child.serving for child in self._children.values()):
            if self._is_stopping():
                return
            self._poll()
            if self._due:
                raise StartFailed("A serving process could not start; its output above says why.")
            if time.monotonic() > deadline:
                raise StartFailed(f"Not all processes serve after {_START_TIMEOUT:.0f} s.")
            time.sleep(_POLL_INTERVAL)
        url = self._settings.own_url
        log.info("serving", url=url, processes=len(self._slots), pid=os.getpid())
        say(f"Transfer Portal on {url}")

    def _monitor(self) -> None:
        while not self._is_stopping():
            self._poll()
            if self._hangups:
                self._hangups.pop()
                self._replace_all()
            if self._lock is not None and self._lock.taken_by:
                raise Locked(f"Another portal ({self._lock.taken_by}) has taken the database.")
            time.sleep(_POLL_INTERVAL)
        log.info("stopping", signal=stopping.requested())

    def _start(self, slot: int) -> _Child:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        command = [
            *(sys.executable, sys.argv[0], "run", "--no-migrate"),
            "--host", self._settings.host, "--port", str(self._settings.port),
            "--slot", str(slot), "--supervisor-pipe", str(writing),
        ]  # fmt: skip
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(writing,))
        finally:
            os.close(writing)
        log.info("process started", slot=slot, pid=process.pid)
        return _Child(slot, process, reading)

    def _poll(self) -> None:
        """Notes which processes serve and which died, and starts those again that are due."""
        for slot, child in list(self._children.items()):
            if not child.serving and _says_ready(child):
                child.serving = True
            if not child.is_alive():
                del self._children[slot]
                self._schedule_restart(child)
        for slot, due in list(self._due.items()):
            if time.monotonic() >= due:
                del self._due[slot]
                self._children[slot] = self._start(slot)

    def _schedule_restart(self, child: _Child) -> None:
        os.close(child.pipe)
        before = 0.0 if child.age() > _HEALTHY_AFTER else self._delays[child.slot]
        delay = min(_LONGEST_DELAY, before * 2) if before else _FIRST_DELAY
        self._delays[child.slot] = delay
        self._due[child.slot] = time.monotonic() + delay
        log.error(
            "process died",
            slot=child.slot,
            pid=child.process.pid,
            code=child.process.returncode,
            restart_in=delay,
        )

    # --- replacing ------------------------------------------------------------------------------

    def _replace_all(self) -> None:
        """Replaces one process at a time: the old one ends when the new one serves. If a new one
        cannot start, the old ones stay."""
        log.info("replacing the processes")
        if self._migrate_first and not self._migrated():
            log.error("the database was not migrated; the processes stay as they are")
            return
        for slot in self._slots:
            if self._is_stopping() or not self._replace(slot):
                return
        log.info("the processes are replaced")

    def _migrated(self) -> bool:
        # In a process of its own: that runs the code installed now, this one older code.
        with subprocess.Popen([sys.executable, sys.argv[0], "db", "upgrade"]) as migrating:
            while migrating.poll() is None and not self._is_stopping():
                self._poll()
                time.sleep(_POLL_INTERVAL)
        return migrating.returncode == 0

    def _replace(self, slot: int) -> bool:
        new = self._start(slot)
        deadline = time.monotonic() + _START_TIMEOUT
        while not (ready := _says_ready(new)) and new.is_alive() and not self._is_stopping():
            if time.monotonic() > deadline:
                break
            self._poll()
            time.sleep(_POLL_INTERVAL)
        if not ready:
            log.error("the new process does not serve; the old ones stay", slot=slot)
            self._end([new])
            return False
        new.serving = True
        self._due.pop(slot, None)
        old = self._children.get(slot)
        self._children[slot] = new
        if old is not None:
            self._end([old])
        return True

    # --- the end --------------------------------------------------------------------------------

    def _end(self, children: list[_Child]) -> None:
        self._leaving = children
        for child in children:
            child.process.terminate()
        deadline = time.monotonic() + _STOP_TIMEOUT
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
        return stopping.requested() is not None


def _says_ready(child: _Child) -> bool:
    try:
        return os.read(child.pipe, 1) == b"1"
    except BlockingIOError:
        return False
