"""The executor of a portal with one process: a few threads (green ones in ``run``) take jobs in
turn."""

from __future__ import annotations

import os
import queue
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

log = structlog.get_logger(__name__)

_SWEEP = 15.0
_TIMEOUT = 8.0
#: Seconds that rclone gets to clean up.
_GRACE = 4.0
#: Queued once for each thread that is to end; no job has this id.
_END = 0


class InProcessExecutor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        name = f"{socket.gethostname()}:{os.getpid()}"
        # If this process is killed, an rclone that waits for a silent storage does not end by
        # itself: the watchdog ends it.
        self._watchdog = engine.Watchdog(grace=_GRACE)
        self._worker = Worker(
            settings, name, grace=_GRACE, notify=self.notify, watchdog=self._watchdog
        )
        self._queue: queue.PriorityQueue[int] = queue.PriorityQueue()  # the oldest job first
        self._waiting: set[int] = set()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        engine.end_orphans(self._settings.data_dir)
        self._watchdog.start()
        try:
            rescue.recover()
        finally:
            session.remove()
        self._queue_waiting()  # before any thread takes one: the oldest job has to be the first
        for number in range(self._settings.max_running_jobs):
            self._spawn(self._take_jobs, f"transfer-{number}")
        self._spawn(self._sweep, "sweep")

    def notify(self, job_id: int, pool: str | None = None) -> None:
        if job_id not in self._waiting:
            self._waiting.add(job_id)
            self._queue.put(job_id)

    def stop(self) -> None:
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._worker.stop()
        for _ in self._threads:
            self._queue.put(_END)
        # One deadline for all of them. Threads that still run then end with the process, and so
        # does rclone.
        deadline = time.monotonic() + _TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._watchdog.close(max(0.5, deadline - time.monotonic()))

    def is_alive(self) -> bool:
        return not self._stopped.is_set() and all(thread.is_alive() for thread in self._threads)

    def _spawn(self, target: object, name: str) -> None:
        assert callable(target)  # noqa: S101 - narrows the type
        thread = threading.Thread(target=in_same_context(target), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _take_jobs(self) -> None:
        while (job_id := self._queue.get()) != _END and not self._stopped.is_set():
            self._waiting.discard(job_id)
            try:
                self._worker.execute(job_id)
            except AWAY as away:
                log.warning(
                    "a job was not claimed; the sweep notifies again",
                    job=job_id,
                    error=reason(away),
                )

    def _sweep(self) -> None:
        """Queues every waiting job again at intervals, to find jobs whose notification was lost."""
        while not self._stopped.wait(_SWEEP):
            self._queue_waiting()

    def _queue_waiting(self) -> None:
        try:
            rescue.requeue_interrupted()
            for job_id in rescue.queued_ids():
                self.notify(job_id)
        except AWAY as away:
            log.warning("the queue was not read", error=reason(away))
        finally:
            session.remove()
