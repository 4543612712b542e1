"""Runs jobs: claim, engine, report, finish. The same code under every executor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from portal.db.clock import elapsed
from portal.db.session import AWAY, session
from portal.engine import Watchdog
from portal.services import workers
from portal.services.jobs import places, reports, rescue
from portal.services.jobs.places import Places, Waiting
from portal.services.storage import connections, encryption
from portal.settings import Settings
from portal.transfers import local_paths
from portal.worker.attempt import Attempt, Patience
from portal.worker.lease import Lease
from portal.worker.progress_reporter import Ledger
from portal.worker.roots import OwnFiles
from portal.worker.timing import Timing

__all__ = [
    "DatabaseAway",
    "Lease",
    "Timing",
    "Waiting",
    "Worker",
    "elapsed",
    "note_notified",
    "queued_jobs",
    "recover",
    "sweep",
]

Ring = Callable[[int, str | None], None]

#: What the database raises while it is away or locked.
DatabaseAway = AWAY


def recover() -> None:
    """Takes back the jobs of a dead process. Only while no other worker can be alive."""
    try:
        rescue.recover()
    finally:
        session.remove()


def queued_jobs() -> list[int]:
    """Ids of the jobs that wait, oldest first."""
    try:
        rescue.requeue_interrupted()
        return rescue.queued_ids()
    finally:
        session.remove()


def sweep(timing: Timing, *, everything: bool = False) -> list[Waiting]:
    """Takes back what was lost; the jobs to ring for, or all that wait."""
    try:
        waiting = rescue.sweep(timing.silent, timing.unheard)
        workers.watch()
        return rescue.all_queued() if everything else waiting
    finally:
        session.remove()


def note_notified(job_ids: Sequence[int]) -> None:
    """A message for each of these jobs waits for a worker now."""
    try:
        rescue.note_notified(job_ids)
    finally:
        session.remove()


class Worker:
    """``name`` tells people and rows which process it is, such as ``web1:4711``. Where others may
    take its jobs it has a ``lease``; the only process of a portal needs none. ``ring`` is for jobs
    that it gives back, and for those that waited for one of its own."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        grace: float = 10.0,
        backoff: float = 5.0,
        lease: Lease | None = None,
        ring: Ring | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        """``grace`` and ``backoff``: see ``engine.Run``. ``watchdog``: without a lease, what ends
        the transfers should this process be killed."""
        self._settings = settings
        self._name = name
        self._patience = Patience(grace, backoff)
        self._lease = lease
        self._ring = ring
        self._ledger = Ledger(lease, watchdog)
        self._stopping = threading.Event()
        encryption.use(settings.signing_key(), settings.previous_secret_keys)
        connections.use(settings.rclone, allow_local=settings.remotes_allow_local)
        local_paths.use(OwnFiles(settings).refusal)

    def stop(self) -> None:
        """Running transfers are ended and given back to the queue; nothing new is claimed."""
        self._stopping.set()

    @property
    def running(self) -> int:
        """How many jobs it works on now."""
        return len(self._ledger)

    def execute(self, job_id: int) -> None:
        """Runs the job to its end. Does nothing if it is not queued (any more), or if it has to
        wait for another one: whoever ends that rings again."""
        if self._stopping.is_set():
            return
        try:
            found = places.of_queued(job_id)
            if found is not None:
                self._run(job_id, found)
        finally:
            session.remove()

    def _run(self, job_id: int, found: Places) -> None:
        claimed_at = elapsed()
        worker_id = self._lease.worker_id if self._lease else None
        job = reports.claim(job_id, self._name, worker_id, found)
        if job is None:
            return
        attempt = Attempt(self._settings, job, self._ledger, self._stopping, self._patience)
        attempt.run(claimed_at)
        if self._ring is None:
            return
        if self._stopping.is_set():
            self._ring(job.id, job.pool)  # for the others; harmless if it has ended
        for one in places.freed(found.written):
            self._ring(one.job_id, one.pool)
