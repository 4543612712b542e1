"""Runs jobs: claims each, runs the engine, reports, finishes. The code is the same under every
executor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from portal.db.clock import elapsed
from portal.db.session import session
from portal.engine import Watchdog
from portal.services.jobs import places, scheduler
from portal.services.jobs.scheduler import Pools
from portal.settings import Settings
from portal.transfers.scheduling import QueuedJob
from portal.worker.attempt import Attempt, AttemptTiming
from portal.worker.lease import Lease
from portal.worker.progress_reporter import ProgressReporter
from portal.worker.slots import JobSlot


class Worker:
    """``name`` identifies the process for people and in rows, such as ``web1:4711``. ``lease`` is
    set if other workers may take its jobs; the only process of a portal needs none. ``look`` is
    called whenever one of its jobs has ended: others may have waited for it."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        grace: float = 10.0,
        backoff: float = 5.0,
        lease: Lease | None = None,
        look: Callable[[], None] | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        """``grace`` and ``backoff``: see ``engine.Run``. ``watchdog``: ends the transfers if this
        process is killed; a worker with a lease uses that of the lease."""
        self._settings = settings
        self._name = name
        self._patience = AttemptTiming(grace, backoff)
        self._lease = lease
        self._look = look
        self._reporter = ProgressReporter(lease, watchdog)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ends running transfers and puts their jobs back into the queue; claims nothing more."""
        self._stopping.set()

    @property
    def running(self) -> int:
        """How many jobs it runs now."""
        return len(self._reporter)

    def find_next(
        self,
        pools: Pools | None,
        claiming: Collection[QueuedJob] = (),
        refused: Collection[int] = (),
    ) -> QueuedJob | None:
        """Returns the job of these pools that is to run next, see ``scheduler.find_next``."""
        return scheduler.find_next(pools, self._worker_id, claiming, refused)

    def claim(self, job_id: int, slot: JobSlot) -> Attempt | None:
        """Returns an attempt at the job, which this worker has to run; None if it could not claim
        the job."""
        if self._stopping.is_set():
            return None
        try:
            # A name server may take longer than the lease: that begins with the claim itself.
            found = places.of_queued(job_id)
            if found is None:
                return None
            claimed_at = elapsed()
            job = scheduler.claim(job_id, self._name, self._worker_id, found)
            if job is None:
                return None
            return Attempt(
                *(self._settings, job, claimed_at, self._reporter),
                *(self._stopping, self._patience, slot),
            )
        finally:
            session.remove()

    def run(self, attempt: Attempt) -> None:
        """Runs a claimed job to its end."""
        try:
            attempt.run()
        finally:
            session.remove()
        if self._look is not None:
            self._look()

    @property
    def _worker_id(self) -> int | None:
        return self._lease.worker_id if self._lease else None
