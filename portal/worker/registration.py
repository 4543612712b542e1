"""The row of this worker process, its heartbeat, and the directives of admins."""

from __future__ import annotations

import os
import platform
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from portal import engine
from portal.db import clock
from portal.db.session import session
from portal.runtime.version import __version__
from portal.services import workers
from portal.services.jobs import rescue
from portal.services.workers import WorkerDescription, WorkerDirectives
from portal.transfers.pools import DEFAULT_POOL
from portal.worker.root_watch import RootWatch

log = structlog.get_logger(__name__)


def this_process(pools: Sequence[str], concurrency: int) -> WorkerDescription:
    host = platform.node() or socket.gethostname()
    return WorkerDescription(
        name=f"{host}:{os.getpid()}"[:128],
        host=host[:128],
        pid=os.getpid(),
        machine=_machine(),
        process=engine.process_identity(),
        pools=tuple(dict.fromkeys(pools)) or (DEFAULT_POOL,),
        version=__version__,
        concurrency=concurrency,
    )


class WorkerRegistration:
    """``apply`` is called with the directives at each heartbeat, every ``heartbeat`` seconds.
    ``look`` returns the missing folders among those that are open to transfers."""

    def __init__(
        self,
        process: WorkerDescription,
        heartbeat: float,
        apply: Callable[[WorkerDirectives], None],
        look: Callable[[], Sequence[str]],
    ) -> None:
        self.process = process
        self.worker_id = 0
        #: Whether the portal has removed the row of this worker, which was silent for a day.
        self.is_removed = False
        self._heartbeat = heartbeat
        self._apply = apply
        self._roots = RootWatch(look, heartbeat)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_forever, name="heartbeat", daemon=True)

    def begin(self) -> int:
        """Rescues the jobs of dead workers of this machine. Returns the id of its own row."""
        for worker_id, identity in workers.find_unended(self.process.machine):
            if not engine.process_lives(identity):
                engine.end_processes_of(identity)
                rescue.rescue_jobs_of(worker_id)
                workers.mark_stopped(worker_id)
                log.info("rescued the jobs of a dead worker", worker=worker_id)
        self.worker_id = workers.register(self.process)
        self._roots.start()
        self._beat()  # the first heartbeat sets the clock
        self._thread.start()
        return self.worker_id

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        """Records that this worker has ended, if the database can be reached."""
        self._ended.set()
        self._roots.stop()
        try:
            workers.mark_stopped(self.worker_id)
        except SQLAlchemyError as error:
            log.warning("the end of this worker was not written", error=str(error))
        finally:
            session.remove()

    def _beat_forever(self) -> None:
        while not self._ended.wait(self._heartbeat):
            try:
                directives = self._beat()
            except SQLAlchemyError as error:
                log.warning("no heartbeat", error=str(error))
            else:
                if directives is not None:
                    self._apply(directives)
            finally:
                session.remove()

    def _beat(self) -> WorkerDirectives | None:
        directives = workers.beat(self.worker_id, self._roots.problems)
        if directives is None:
            self.is_removed = True
        else:
            clock.follow(directives.now)
        return directives


def _machine() -> str:
    """Returns the kernel's boot id and the namespace of process ids. As long as both are the same,
    a process id and a start time always mean the same process."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"[:128]
