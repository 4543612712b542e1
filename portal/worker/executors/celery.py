"""The executor of the scale-out mode: asks the workers to look, and makes sure that no job is
forgotten."""

from __future__ import annotations

import threading

import structlog

from portal.db.session import AWAY, reason, session
from portal.runtime.context import in_same_context
from portal.services import workers
from portal.services.jobs import rescue
from portal.settings import Settings
from portal.worker.executors.notifier import LookNotifier
from portal.worker.timing import Timing

log = structlog.get_logger(__name__)

#: Seconds that a running sweep gets to end.
_END_SECONDS = 2.0


class CeleryExecutor:
    """Runs nothing itself, because its workers are other processes. Every web and every worker
    process has one, so the sweep goes on as long as any of them lives."""

    def __init__(self, settings: Settings) -> None:
        self._timing = Timing().scale(settings.test_time_scale)
        self.notifier = LookNotifier(settings.redis_url)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.notifier.start()
        # Made here: the application whose database it sweeps does not exist before.
        self._thread = threading.Thread(
            target=in_same_context(self._sweep_forever), name="sweep", daemon=True
        )
        self._thread.start()

    def look(self) -> None:
        self.notifier.look()

    def stop(self) -> None:
        """Leaves a sweep behind that waits for an unresponsive database; its connection is closed
        when the engine is disposed of, or with the process."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
        self.notifier.stop()

    @property
    def is_sweeping(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def is_alive(self) -> bool:
        return self.is_sweeping and self.notifier.is_alive

    def _sweep_forever(self) -> None:
        while not self._stopped.is_set():
            self._sweep()
            self._stopped.wait(self._timing.sweep)

    def _sweep(self) -> None:
        try:
            if rescue.sweep(self._timing.stalled_after):
                self.look()
            workers.watch()
        except AWAY as away:
            log.warning("no sweep", error=reason(away))
        finally:
            session.remove()
