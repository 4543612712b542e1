"""Runs queued jobs in the free slots of one worker process.

One thread looks at the queue, and chooses. Each job has a thread of its own, which claims it: where
a job reads and writes is looked up before, and a name server that does not answer must hold up no
other job.
"""

from __future__ import annotations

import threading

import structlog

from portal.db.clock import elapsed
from portal.db.session import AWAY, reason, session
from portal.runtime.context import in_same_context
from portal.services.jobs.scheduler import Pools
from portal.transfers.scheduling import QueuedJob
from portal.worker import Worker
from portal.worker.attempt import Attempt
from portal.worker.slots import JobSlot, Slots

log = structlog.get_logger(__name__)


class Dispatcher:
    """``pools``: whose jobs it takes, see ``scheduler.find_next``. ``every``: seconds until it
    looks at the queue although nobody asked it to."""

    def __init__(self, worker: Worker, pools: Pools | None, slots: int, every: float) -> None:
        self._worker = worker
        self._pools = pools
        self._every = every
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._slots = Slots(slots, freed=self._wanted.set)
        self._paused = False
        self._lock = threading.Lock()
        #: Jobs that are being claimed, and jobs that could not be claimed since the last look that
        #: somebody asked for.
        self._claiming: dict[int, QueuedJob] = {}
        self._refused: set[int] = set()
        self._forgot_at = elapsed()
        self._threads: set[threading.Thread] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._wanted.set()
        self._thread = threading.Thread(
            target=in_same_context(self._look_forever), name="dispatcher", daemon=True
        )
        self._thread.start()

    def look(self) -> None:
        """Makes it look at the queue soon."""
        self._forget_refused()
        self._wanted.set()

    def pause(self, paused: bool) -> None:
        """While it is paused, it starts no job; those that run go on."""
        self._paused = paused
        self.look()

    def stop(self) -> None:
        """Starts no more jobs."""
        self._stopped.set()
        self._wanted.set()

    def join(self, seconds: float) -> bool:
        """Waits for the threads of the jobs, after the worker was stopped too. Returns whether all
        have ended."""
        deadline = elapsed() + seconds
        for thread in [*self._threads, self._thread]:
            if thread is not None:
                thread.join(max(0.0, deadline - elapsed()))
        return not any(thread.is_alive() for thread in self._threads)

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _look_forever(self) -> None:
        while not self._stopped.is_set():
            self._wanted.wait(self._every)
            self._wanted.clear()
            if elapsed() > self._forgot_at + self._every:
                self._forget_refused()
            try:
                self._fill_slots()
            except AWAY as away:
                log.warning("the queue was not read", error=reason(away))
            finally:
                session.remove()

    def _fill_slots(self) -> None:
        while self._slots.has_room and not (self._stopped.is_set() or self._paused):
            with self._lock:
                claiming, refused = list(self._claiming.values()), set(self._refused)
            job = self._worker.find_next(self._pools, claiming, refused)
            slot = self._slots.take() if job else None
            if job is None or slot is None:
                return
            with self._lock:
                self._claiming[job.job_id] = job
                thread = threading.Thread(
                    target=in_same_context(self._run),
                    args=(job, slot),
                    name=f"job {job.job_id}",
                    daemon=True,
                )
                self._threads.add(thread)
            thread.start()

    def _run(self, job: QueuedJob, slot: JobSlot) -> None:
        try:
            if (attempt := self._claim(job, slot)) is not None:
                self._worker.run(attempt)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
            slot.release()

    def _claim(self, job: QueuedJob, slot: JobSlot) -> Attempt | None:
        attempt = None
        try:
            attempt = self._worker.claim(job.job_id, slot)
        except AWAY as away:
            log.warning("a job was not claimed", job=job.job_id, error=reason(away))
        finally:
            with self._lock:
                del self._claiming[job.job_id]
                if attempt is None:
                    self._refused.add(job.job_id)
        return attempt

    def _forget_refused(self) -> None:
        with self._lock:
            self._forgot_at = elapsed()
            self._refused.clear()
