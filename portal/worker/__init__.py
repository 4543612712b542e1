"""Runs jobs: claims each, runs the engine, reports, finishes. The code is the same under every
executor."""

from __future__ import annotations

import threading
from collections.abc import Callable

from portal.db.clock import elapsed
from portal.db.session import session
from portal.engine import Watchdog
from portal.services.jobs import blocking, claims, places
from portal.services.jobs.places import JobPlaces
from portal.settings import Settings
from portal.worker.attempt import Attempt, AttemptTiming
from portal.worker.lease import Lease
from portal.worker.progress_reporter import ProgressReporter

Notify = Callable[[int, str | None], None]


class Worker:
    """``name`` identifies the process for people and in rows, such as ``web1:4711``. ``lease`` is
    set if other workers may take its jobs; the only process of a portal needs none. ``notify`` is
    called for jobs that the worker puts back into the queue, and for jobs that waited for one of
    its own."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        grace: float = 10.0,
        backoff: float = 5.0,
        lease: Lease | None = None,
        notify: Notify | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        """``grace`` and ``backoff``: see ``engine.Run``. ``watchdog``: ends the transfers if this
        process is killed; a worker with a lease uses that of the lease."""
        self._settings = settings
        self._name = name
        self._patience = AttemptTiming(grace, backoff)
        self._lease = lease
        self._notify = notify
        self._reporter = ProgressReporter(lease, watchdog)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ends running transfers and puts their jobs back into the queue; claims nothing more."""
        self._stopping.set()

    @property
    def running(self) -> int:
        """How many jobs it runs now."""
        return len(self._reporter)

    def execute(self, job_id: int) -> None:
        """Runs the job to its end. Does nothing if the job is not queued (any more), or if it has
        to wait for another job; the end of that job notifies workers again."""
        if self._stopping.is_set():
            return
        try:
            found = places.of_queued(job_id)
            if found is not None:
                self._run(job_id, found)
        finally:
            session.remove()

    def _run(self, job_id: int, found: JobPlaces) -> None:
        claimed_at = elapsed()
        worker_id = self._lease.worker_id if self._lease else None
        job = claims.claim(job_id, self._name, worker_id, found)
        if job is None:
            return
        attempt = Attempt(self._settings, job, self._reporter, self._stopping, self._patience)
        attempt.run(claimed_at)
        if self._notify is None:
            return
        if self._stopping.is_set():
            self._notify(job.id, job.pool)  # for other workers; does no harm if the job has ended
        for one in blocking.startable_after(found.used.all):
            self._notify(one.job_id, one.pool)
