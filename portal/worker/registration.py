"""A worker process among others: its row, its heartbeat, and what admins ask of it."""

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
from portal.services.jobs.places import Waiting
from portal.services.workers import Orders, Process
from portal.transfers.pools import DEFAULT_POOL

log = structlog.get_logger(__name__)


def this_process(pools: Sequence[str], concurrency: int) -> Process:
    host = platform.node() or socket.gethostname()
    return Process(
        name=f"{host}:{os.getpid()}"[:128],
        host=host[:128],
        pid=os.getpid(),
        machine=_machine(),
        process=engine.owner_mark(),
        pools=tuple(dict.fromkeys(pools)) or (DEFAULT_POOL,),
        version=__version__,
        concurrency=concurrency,
    )


class Presence:
    """``obey`` is called with the orders at each heartbeat, ``heartbeat`` seconds apart."""

    def __init__(self, process: Process, heartbeat: float, obey: Callable[[Orders], None]) -> None:
        self.process = process
        self.worker_id = 0
        #: Jobs that waited for one that a dead predecessor had, to be rung for.
        self.freed: list[Waiting] = []
        self._heartbeat = heartbeat
        self._obey = obey
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_forever, name="presence", daemon=True)

    def begin(self) -> int:
        """Takes back what certainly dead predecessors on this machine held; the id of its row."""
        for worker_id, mark in workers.unended(self.process.machine):
            if not engine.owner_lives(mark):
                engine.sweep_owner(mark)
                self.freed += rescue.take_back_of(worker_id)
                workers.stopped(worker_id)
                log.info("took back the jobs of a dead worker", worker=worker_id)
        self.worker_id = workers.register(self.process)
        self._beat()  # the first tells the time
        self._thread.start()
        return self.worker_id

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        """Says that it has ended, if the database can be reached."""
        self._ended.set()
        try:
            workers.stopped(self.worker_id)
        except SQLAlchemyError as error:
            log.warning("the end of this worker was not written", error=str(error))
        finally:
            session.remove()

    def _beat_forever(self) -> None:
        while not self._ended.wait(self._heartbeat):
            try:
                orders = self._beat()
            except SQLAlchemyError as error:
                log.warning("no heartbeat", error=str(error))
            else:
                if orders is not None:
                    self._obey(orders)
            finally:
                session.remove()

    def _beat(self) -> Orders | None:
        orders = workers.beat(self.worker_id)
        if orders is not None:
            clock.follow(orders.now)
        return orders


def _machine() -> str:
    """Names the kernel's boot and the namespace of process ids: within both, a process id with a
    start time is one process for ever."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"[:128]
