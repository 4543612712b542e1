"""The executor of a portal with one process: its jobs run in threads (green ones in ``run``)."""

from __future__ import annotations

import os
import socket
import threading
import time

import structlog

from portal import engine
from portal.db.session import AWAY, reason, session
from portal.runtime.context import in_same_context
from portal.services.jobs import rescue
from portal.settings import Settings
from portal.worker import Worker
from portal.worker.dispatcher import Dispatcher

log = structlog.get_logger(__name__)

#: Seconds between two sweeps, and between two looks at the queue that nobody has asked for.
_SWEEP = 15.0
_TIMEOUT = 8.0
#: Seconds that rclone gets to clean up.
_GRACE = 4.0


class InProcessExecutor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        name = f"{socket.gethostname()}:{os.getpid()}"
        # If this process is killed, an rclone that waits for a silent storage does not end by
        # itself: the watchdog ends it.
        self._watchdog = engine.Watchdog(grace=_GRACE)
        self._worker = Worker(settings, name, grace=_GRACE, look=self.look, watchdog=self._watchdog)
        self._dispatcher = Dispatcher(self._worker, None, settings.max_running_jobs, _SWEEP)
        self._stopped = threading.Event()
        self._sweeper: threading.Thread | None = None

    def start(self) -> None:
        engine.end_orphans(self._settings.data_dir)
        self._watchdog.start()
        try:
            rescue.recover()
        finally:
            session.remove()
        self._dispatcher.start()
        self._sweeper = threading.Thread(
            target=in_same_context(self._sweep_forever), name="sweep", daemon=True
        )
        self._sweeper.start()

    def look(self) -> None:
        self._dispatcher.look()

    def stop(self) -> None:
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._dispatcher.stop()
        self._worker.stop()
        # One deadline for all of them. Threads that still run then end with the process, and so
        # does rclone.
        deadline = time.monotonic() + _TIMEOUT
        self._dispatcher.join(_TIMEOUT)
        if self._sweeper is not None:
            self._sweeper.join(max(0.0, deadline - time.monotonic()))
        self._watchdog.close(max(0.5, deadline - time.monotonic()))

    def is_alive(self) -> bool:
        alive = self._sweeper is not None and self._sweeper.is_alive()
        return alive and not self._stopped.is_set() and self._dispatcher.is_alive()

    def _sweep_forever(self) -> None:
        """Queues interrupted jobs again whose step failed before."""
        while not self._stopped.wait(_SWEEP):
            try:
                if rescue.requeue_interrupted():
                    self.look()
            except AWAY as away:
                log.warning("no sweep", error=reason(away))
            finally:
                session.remove()
