"""The one thread of a worker process that reports the progress of all its jobs to the database.

One query and one write serve all jobs, so one job more costs the database hardly anything.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto

import structlog
from sqlalchemy.exc import SQLAlchemyError

from portal import engine
from portal.db.clock import elapsed, now
from portal.db.session import AWAY, reason, session
from portal.runtime.context import in_same_context
from portal.services.jobs import claims, reports
from portal.services.jobs.claims import Claim, ClaimStatus, JobDirectives
from portal.services.jobs.reports import ProgressReport
from portal.worker.bandwidth_sharing import BandwidthSharing, JobBandwidth
from portal.worker.lease import Lease

log = structlog.get_logger(__name__)

#: Seconds between two progress events of a job. A client gets at most one a second, and the fan-out
#: may delay the first of two by a fifth of a second.
REPORT_INTERVAL = 1.2
HEARTBEAT = 5.0
#: Seconds between two reads of the cancel column; more if there may be many workers.
POLL_INTERVAL = 0.25
SHARED_POLL_INTERVAL = 0.4


class Stop(Enum):
    """Why an attempt has to end before rclone does."""

    CANCELLED = auto()
    #: Another worker has the job by now.
    LOST = auto()
    #: The database was unavailable for so long that another worker may have the job.
    LEASE_EXPIRED = auto()
    #: The worker is being stopped.
    SHUTDOWN = auto()


class RunningJob:
    """The data that a job's thread and the reporter's thread share."""

    def __init__(self, claim: Claim, claimed_at: float) -> None:
        self.claim = claim
        #: The newest figures; the job's thread writes them.
        self.progress: engine.Progress | None = None
        #: When the last figures arrived.
        self.credited_at = now()
        #: The attempt is about to end: no more progress is reported.
        self.ending = False
        #: Why the attempt has to end. Both threads write it, and neither overwrites an earlier
        #: reason.
        self.stop: Stop | None = None
        #: What failed when its progress was written: the reporter sets it, the job's thread raises
        #: it.
        self.fault: Exception | None = None
        #: What people ask of the job; None until the first look.
        self.directives: JobDirectives | None = None
        #: When the last statement that renewed the lease was sent, see ``clock.elapsed``.
        self.renewed_at = claimed_at
        self.reported_at = 0.0
        #: What it may move, see ``bandwidth_sharing``; None for a job that moves nothing.
        self.bandwidth: JobBandwidth | None = None


class ProgressReporter:
    def __init__(self, lease: Lease | None, watchdog: engine.Watchdog | None = None) -> None:
        self._lease = lease
        self._watchdog = lease.watchdog if lease else watchdog
        self._poll_interval = SHARED_POLL_INTERVAL if lease else POLL_INTERVAL
        self._jobs: dict[Claim, RunningJob] = {}
        self._lock = threading.Lock()
        self._round = threading.Lock()
        self._thread: threading.Thread | None = None
        self._sharing = BandwidthSharing()

    def __len__(self) -> int:
        return len(self._jobs)

    @contextmanager
    def track(self, job: RunningJob) -> Iterator[None]:
        """Reports the job's progress, from its claim to the end of the attempt."""
        with self._lock:
            self._jobs[job.claim] = job
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=in_same_context(self._report_all), name="progress reporter", daemon=True
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._jobs[job.claim]

    @contextmanager
    def under_watchdog(self, job: RunningJob) -> Iterator[Callable[[int], None]]:
        """Yields a function to call with the leader of rclone's process group, once it runs. The
        watchdog ends the group if this process no longer can. At the end of the block the group is
        dead."""
        watchdog = self._watchdog
        leaders: list[int] = []

        def watch(leader: int) -> None:
            if watchdog is not None:
                leaders.append(leader)
                watchdog.hold(leader, job.renewed_at)

        try:
            yield watch
        finally:
            if watchdog is not None:
                for leader in leaders:
                    watchdog.release(leader)

    def check(self, job: RunningJob) -> None:
        """The job's own thread calls this at short intervals. Raises what failed, and
        stops a job whose lease has expired, even while the reporter waits for the database."""
        if job.fault is not None:
            raise job.fault
        thread = self._thread
        if thread is None or not thread.is_alive():
            raise RuntimeError("the progress reporter has ended")
        max_offline = self._lease.timing.max_offline if self._lease else math.inf
        if job.stop is None and elapsed() - job.renewed_at > max_offline:
            job.stop = Stop.LEASE_EXPIRED

    def quiesce(self, job: RunningJob) -> None:
        """Returns once no report of the job is being sent and none will follow."""
        job.ending = True
        with self._round:
            pass  # a round that began earlier has ended

    # --- its thread ---

    def _report_all(self) -> None:
        while True:
            with self._lock:
                jobs = list(self._jobs.values())
                if not jobs:
                    self._thread = None
                    break
            try:
                with self._round:
                    self._report_and_poll(jobs)
            except AWAY as error:
                # The database is unavailable for a moment; the transfers go on.
                log.warning("progress was not written", jobs=len(jobs), error=reason(error))
            except Exception as error:  # the thread goes on: other jobs follow
                log.exception("progress could not be written", jobs=len(jobs))
                session.rollback()
                for one in jobs:
                    one.fault = one.fault or error
            finally:
                session.remove()
            time.sleep(self._poll_interval)

    def _report_and_poll(self, jobs: list[RunningJob]) -> None:
        held = [one for one in jobs if one.stop not in (Stop.LOST, Stop.LEASE_EXPIRED)]
        open_ = [one for one in held if one.stop is None and not one.ending]
        moment = elapsed()
        due = [one for one in open_ if one.progress and moment - one.reported_at >= REPORT_INTERVAL]
        self._report_progress(due)
        between = self._lease.timing.heartbeat if self._lease else HEARTBEAT
        silent = [one for one in held if moment - one.renewed_at >= between]
        self._send_heartbeats(silent)
        written = {*due, *silent}
        others = [one for one in open_ if one not in written]
        directives = claims.read_directives([one.claim for one in others])
        _note(others, {claim: found.status for claim, found in directives.items()})
        for one in others:
            one.directives = directives[one.claim]
        self._sharing.share(
            {
                one.claim: (one.bandwidth, one.directives)
                for one in open_
                if one.bandwidth is not None and one.directives is not None
            }
        )
        if self._lease and held:
            self._lease.watchdog.kept(min(one.renewed_at for one in held))

    def _report_progress(self, due: list[RunningJob]) -> None:
        sent_at = elapsed()
        found = [(one, one.progress) for one in due if one.progress is not None]
        try:
            statuses = reports.report_progress(
                [ProgressReport(one.claim, progress, one.credited_at) for one, progress in found]
            )
        except AWAY:
            # Restart the interval now: the next write must not follow at once after a delayed one.
            for one in due:
                one.reported_at = elapsed()
            raise
        except (SQLAlchemyError, OverflowError) as error:  # SQLite takes no figure beyond 2**63
            session.rollback()
            if len(due) == 1:
                due[0].fault = error
            else:
                # One of them is the cause, so write each by itself.
                for one in due:
                    self._report_progress([one])
            return
        for one, _ in found:
            one.reported_at = elapsed()
            if statuses[one.claim] is ClaimStatus.VALID:
                one.credited_at = now()
                one.renewed_at = sent_at
        _note(due, statuses)

    def _send_heartbeats(self, silent: list[RunningJob]) -> None:
        sent_at = elapsed()
        statuses = claims.heartbeat([one.claim for one in silent])
        for one in silent:
            if statuses[one.claim] is not ClaimStatus.LOST:
                one.renewed_at = sent_at
        _note(silent, statuses)


def _note(jobs: list[RunningJob], statuses: dict[Claim, ClaimStatus]) -> None:
    for one in jobs:
        if one.stop is None:
            one.stop = _STOPS[statuses[one.claim]]


_STOPS = {
    ClaimStatus.VALID: None,
    ClaimStatus.CANCELLED: Stop.CANCELLED,
    ClaimStatus.LOST: Stop.LOST,
}
