"""One attempt at a job: rclone from its start to its end, and the report of that end."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import structlog

from portal import engine
from portal.db.clock import elapsed
from portal.db.session import AWAY, reason, session
from portal.models import Job
from portal.services.jobs import claims, reports
from portal.services.jobs.claims import Claim, JobDirectives
from portal.services.jobs.reports import Ending
from portal.services.storage.connections import Unusable
from portal.settings import Settings
from portal.transfers.left_out import left_out_words
from portal.transfers.local_paths import PathRefused, Roots
from portal.transfers.names import visible
from portal.transfers.options import from_json
from portal.worker import preflight
from portal.worker.attempt_log import AttemptLog
from portal.worker.bandwidth_sharing import NOTHING_YET, JobBandwidth
from portal.worker.progress_reporter import ProgressReporter, RunningJob, Stop
from portal.worker.roots import open_to_transfers
from portal.worker.slots import JobSlot

log = structlog.get_logger(__name__)

#: Seconds between two checks of rclone.
TICK = 0.1
#: Seconds without new figures after which the speed of a transfer counts as zero.
SILENT = 3.0
#: Seconds for which a worker that is being stopped keeps trying to write to an unavailable
#: database.
LAST_TRIES = 3.0
#: Seconds until an unavailable database is asked again, or a limit that was reached.
_ASK_AGAIN = 0.5

_FAILED = Ending(False, "The portal failed while running this transfer.", None)
_DATABASE_UNREACHABLE = "Its worker could not reach the database."


def _final_line(ending: Ending, stop: Stop | None) -> tuple[str, str]:
    """Returns level and text of the last line in the log of an attempt."""
    if ending.succeeded:
        return "notice", "Attempt finished."
    if stop is Stop.CANCELLED:
        return "notice", "The attempt was cancelled."
    if stop is Stop.SHUTDOWN:
        return "notice", "The worker was stopped; the job is back in the queue."
    if stop is Stop.LEASE_EXPIRED:
        return "error", f"The attempt was given up. {_DATABASE_UNREACHABLE}"
    return "error", f"The attempt failed. {ending.reason or ''}".rstrip()


def _left_out(ending: Ending) -> str:
    """Returns a sentence about what was left out because it is not a file; empty if nothing was."""
    found = ending.found
    words = left_out_words(
        found.get("links_left_out", 0),
        found.get("specials_left_out", 0),
        found.get("left_out_names"),
    )
    return f"Left out: {words}." if words else ""


def _confirmed_plan(job: Job) -> engine.ConfirmedPlan | None:
    """Returns the limits of a job that was confirmed after a dry run; None for other jobs."""
    if job.confirms_id is None:
        return None
    plan = job.plan or {}
    return engine.ConfirmedPlan(
        deletes=int(plan.get("deletes", 0)),
        fingerprint=str(plan.get("fingerprint", "")),
        moment=float(plan.get("moment", 0.0)),
    )


def name_of_portal(settings: Settings) -> str:
    """All its processes have this key, and no other portal has."""
    return hashlib.sha256(b"partial files\0" + settings.signing_key().encode()).hexdigest()


def _before(job: Job) -> engine.Progress | None:
    """Returns the figures of earlier attempts. Returns None if none of them did anything, or knew
    how much there is to do."""
    did_something = job.files_transferred or job.files_deleted
    if job.attempt <= 1 or (job.total_bytes is None and not did_something):
        return None
    return engine.Progress(
        phase=engine.Phase.SCANNING,
        speed_bytes=0,
        eta_seconds=None,
        errors=0,
        current_files=(),
        **{name: getattr(job, name) for name, figure in engine.FIGURES.items() if figure.kept},
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _end(run: engine.Run, running: RunningJob) -> None:
    # Another worker may have the job by now.
    if running.stop in (Stop.LOST, Stop.LEASE_EXPIRED):
        run.kill()
    else:
        run.stop()


@dataclass(frozen=True, slots=True)
class AttemptTiming:
    """Seconds: ``grace`` for rclone to end by itself, ``backoff`` before it is started again after
    a temporary error."""

    grace: float
    backoff: float


class Attempt:
    def __init__(
        self,
        settings: Settings,
        job: Job,
        claimed_at: float,
        reporter: ProgressReporter,
        stopping: threading.Event,
        patience: AttemptTiming,
        slot: JobSlot,
    ) -> None:
        """``claimed_at``: a moment just before the claim, see ``clock.elapsed``."""
        self._settings = settings
        self._claimed_at = claimed_at
        self._slot = slot
        self._paused_since: float | None = None
        self._ask_for_slot_at = 0.0
        #: The row may say that this job holds no slot: whether it does is known by the answer.
        self._asked_to_release = False
        self._claim = Claim(job.id, job.attempt)
        self._order = engine.TransferOrder(
            job_id=job.id,
            attempt=job.attempt,
            operation=str(job.operation),
            source=job.source,
            destination=job.destination,
            bandwidth_limit=job.bandwidth_limit,
            dry_run=job.dry_run,
            options=from_json(job.options),
            confirmed=_confirmed_plan(job),
            earlier=() if job.retry_of_id is None else (job.retry_of_id,),
            portal=name_of_portal(settings),
        )
        self._reporter = reporter
        self._stopping = stopping
        self._patience = patience
        self._before = _before(job)
        self._trouble: engine.Trouble | None = None
        self._log = log.bind(job=job.id, attempt=job.attempt)
        self._attempt_log = AttemptLog(job.id, job.attempt)
        self._attempt_log.say("notice", f"Attempt {job.attempt} started on {job.worker}.")

    def run(self) -> None:
        running = RunningJob(self._claim, self._claimed_at)
        if self._order.is_limited:
            running.bandwidth = JobBandwidth(self._order.options.timezone)
        with self._reporter.track(running):
            self._run(running)

    def _run(self, running: RunningJob) -> None:
        try:
            ending = self._transfer(running)
        except (engine.EngineError, PathRefused, Unusable) as error:
            # Such a text may hold the name of a file that is no text.
            ending = Ending(False, visible(str(error)), None)
        except Exception:  # noqa: BLE001 - any failure becomes the job's
            self._log.exception("the worker failed")
            ending = _FAILED
        self._log.info(
            "attempt ended",
            succeeded=ending.succeeded,
            reason=ending.reason,
            stop=str(running.stop),
        )
        if running.stop is not Stop.LOST:
            self._reporter.quiesce(running)
            try:
                self._report(running, ending)
            except Exception:  # noqa: BLE001 - a job that nobody runs must not say that it runs
                self._log.exception("the end of the attempt could not be written")
                session.rollback()
                self._persist(lambda: reports.finish(self._claim, _FAILED, None))

    def _report(self, running: RunningJob, ending: Ending) -> None:
        if words := _left_out(ending):
            self._attempt_log.say("notice", words)
        self._attempt_log.say(*_final_line(ending, running.stop))
        # Written before the final status: when people hear of the end, the log has to be complete.
        self._persist(self._attempt_log.end)
        self._persist(lambda: self._report_end(running, ending))

    def _report_end(self, running: RunningJob, ending: Ending) -> None:
        since = running.credited_at
        # A transfer that ended before the stop reached it does not have to run again.
        if running.stop is Stop.SHUTDOWN and not ending.succeeded:
            reports.requeue(self._claim, running.progress, since=since)
        elif running.stop is Stop.LEASE_EXPIRED and not ending.succeeded:
            reports.mark_interrupted(
                self._claim, _DATABASE_UNREACHABLE, running.progress, since=since
            )
        else:
            reports.finish(self._claim, ending, running.progress, since=since)

    def _transfer(self, running: RunningJob) -> Ending:
        roots = open_to_transfers(self._settings)
        mounts = engine.KnownMounts(self._settings.data_dir, roots)
        ready = self._check_before(running, roots, mounts)
        if ready is None:
            return Ending(False, None, None)
        order, unfilled = ready
        allowed = running.bandwidth.allowed if running.bandwidth is not None else None
        run = engine.Run(
            engine.rclone_path(self._settings.rclone),
            order,
            data_dir=self._settings.data_dir,
            grace=self._patience.grace,
            backoff=self._patience.backoff,
            patience=self._settings.storage_patience_seconds,
            paused=allowed == NOTHING_YET,
            before=self._before,
            obstacle=lambda: preflight.missing_disk(order, mounts),
        )
        run.allow(allowed)
        if self._is_to_stop(running):
            return Ending(False, None, None)
        with self._reporter.under_watchdog(running) as watch:
            try:
                self._follow(run, running, watch)
            finally:
                run.close()
                self._attempt_log.collect(run)
        outcome = run.outcome()
        running.progress = outcome.progress or running.progress
        if outcome.found.unreadable_lines:
            self._log.warning(
                "lines of rclone's log could not be read", lines=outcome.found.unreadable_lines
            )
        plan = asdict(outcome.plan) if outcome.plan else None
        why = outcome.reason
        if not outcome.succeeded and not outcome.stopped:
            why = preflight.missing_disk(order, mounts) or why
        return Ending(
            outcome.succeeded,
            why,
            outcome.exit_code,
            outcome.error_lines,
            plan,
            {**asdict(outcome.found), "unfilled_source_id": unfilled},
        )

    def _check_before(
        self, running: RunningJob, roots: Roots, mounts: engine.KnownMounts
    ) -> tuple[engine.TransferOrder, int | None] | None:
        """Returns the order with its ends, and the job that was to fill its source and did not.
        While the database is unavailable it is asked again: nothing has begun yet. Returns None if
        the attempt has to end before."""
        while not self._is_to_stop(running):
            try:
                unfilled = preflight.unfilled_source(self._order)
                if running.bandwidth is not None:
                    found = claims.read_directives([self._claim])[self._claim]
                    running.bandwidth.begin(budgeted=found.budgeted)
                return preflight.check_endpoints(self._order, roots, mounts), unfilled
            except AWAY as error:
                self._log.warning("the job was not checked", error=reason(error))
                session.rollback()
            self._stopping.wait(_ASK_AGAIN)
        return None

    def _follow(self, run: engine.Run, running: RunningJob, watch: Callable[[int], None]) -> None:
        def begun(leader: int) -> None:
            watch(leader)
            # A process that was frozen just before the start must not begin a job that another
            # worker has by now.
            if self._is_to_stop(running):
                _end(run, running)

        last_reading = time.monotonic()
        for progress in run.readings(begun, tick=TICK):
            if progress is not None:
                last_reading = time.monotonic()
                running.progress = progress
                self._attempt_log.note(progress.speed_bytes)
            elif time.monotonic() - last_reading > SILENT:
                # The transfer waits, for its next try for example, so the last speed is no longer
                # true.
                self._stands_still(running)
            if self._is_to_stop(running):
                _end(run, running)
            elif running.directives is not None:
                self._apply(run, running, running.directives)
            if running.stop not in (Stop.LOST, Stop.LEASE_EXPIRED):
                self._attempt_log.keep(run)
            if run.trouble != self._trouble and running.stop is None:
                self._report_trouble(run.trouble)

    def _report_trouble(self, trouble: engine.Trouble | None) -> None:
        shown = trouble or engine.Trouble("")
        try:
            reports.report_trouble(
                self._claim,
                shown.words or None,
                silent_since=_moment(shown.silent_since),
                next_try_at=_moment(shown.next_try_at),
            )
        except AWAY:
            session.rollback()  # the database is unavailable; the next check tries again
        else:
            self._trouble = trouble

    def _apply(self, run: engine.Run, running: RunningJob, directives: JobDirectives) -> None:
        run.limit(directives.bandwidth_limit)
        # Read once: another thread changes it.
        allowed = running.bandwidth.allowed if running.bandwidth is not None else None
        flow = run.allow(allowed)
        if directives.paused:
            self._keep_slot_for_a_while()
        else:
            self._paused_since = None
        if directives.paused or allowed == NOTHING_YET:
            run.pause()
            self._stands_still(running)
        elif self._has_slot():
            run.resume()
        if running.bandwidth is not None:
            running.bandwidth.flow = flow

    def _keep_slot_for_a_while(self) -> None:
        if not self._slot.held:
            self._slot.release()  # paused again while it waited for one: others may have it
        self._paused_since = self._paused_since or elapsed()
        over = elapsed() - self._paused_since >= self._settings.paused_keeps_slot_seconds
        if over and self._slot.held:
            self._asked_to_release = True
            if self._note(claims.release_slot):
                self._slot.release()

    def _has_slot(self) -> bool:
        """Whether the job has its slot, or has got one again after a long pause."""
        if self._slot.held and not self._asked_to_release:
            return True
        if elapsed() < self._ask_for_slot_at or not self._slot.regain():
            return False
        if self._note(claims.take_slot):
            self._asked_to_release = False
        else:
            # Its owner or a storage is at a limit: the slot is for others meanwhile.
            self._slot.release()
            self._ask_for_slot_at = elapsed() + _ASK_AGAIN
        return self._slot.held

    def _note(self, change: Callable[[Claim], bool]) -> bool:
        try:
            return change(self._claim)
        except AWAY:
            session.rollback()  # the database is unavailable; the next check tries again
            return False

    def _stands_still(self, running: RunningJob) -> None:
        self._attempt_log.note(0)
        if running.progress is not None and running.progress.speed_bytes:
            running.progress = replace(running.progress, speed_bytes=0, eta_seconds=None)

    def _is_to_stop(self, running: RunningJob) -> bool:
        if running.stop is None and self._stopping.is_set():
            running.stop = Stop.SHUTDOWN
        self._reporter.check(running)
        return running.stop is not None

    def _persist(self, write: Callable[[], None]) -> None:
        """Writes until the database has accepted it, however long that takes. If the process ends
        before, the row stays as it is, and the next start rescues the job."""
        give_up_at: float | None = None
        while True:
            try:
                write()
            except AWAY as error:
                self._log.warning("the end of the attempt was not written", error=reason(error))
                session.rollback()
            else:
                return
            if self._stopping.is_set():
                give_up_at = give_up_at or time.monotonic() + LAST_TRIES
                if time.monotonic() >= give_up_at:
                    return
                time.sleep(TICK)
            else:
                self._stopping.wait(1)
