"""One attempt at a job: its rclone from the start to the end, and the word of that end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import structlog

from portal import engine
from portal.db.session import AWAY, reason, session
from portal.models import Job
from portal.services.jobs import reports
from portal.services.jobs.reports import Ending, Hold, Seen
from portal.services.storage.connections import Unusable
from portal.settings import Settings
from portal.transfers.left_out import left_out_words
from portal.transfers.local_paths import PathRefused
from portal.transfers.options import restored
from portal.worker import preflight
from portal.worker.attempt_log import Records
from portal.worker.progress_reporter import Held, Ledger, Stop

log = structlog.get_logger(__name__)

#: The shortest step, seconds.
TICK = 0.1
#: Seconds of silence after which a transfer is told to stand still; the speed is that of as many.
SILENT = 3.0
#: Seconds for which a worker that is stopped still tries to reach a database that is away.
LAST_TRIES = 3.0

_OUT_OF_TOUCH = "Its worker could not reach the database."


def _last_words(ending: Ending, stop: Stop | None) -> tuple[str, str]:
    """Level and text of the last line in the log of an attempt."""
    if ending.succeeded:
        return "notice", "The attempt ended."
    if stop is Stop.CANCELLED:
        return "notice", "The attempt was cancelled."
    if stop is Stop.GIVE_BACK:
        return "notice", "The worker was stopped; the job goes back to the queue."
    if stop is Stop.LAPSED:
        return "error", f"The attempt was given up. {_OUT_OF_TOUCH}"
    return "error", f"The attempt failed. {ending.reason or ''}".rstrip()


def _left_out(ending: Ending) -> str:
    """What stayed behind because it is no file; empty if nothing did."""
    found = ending.found
    words = left_out_words(
        found.get("links_left_out", 0),
        found.get("specials_left_out", 0),
        found.get("left_out_names"),
    )
    return f"Left out: {words}." if words else ""


def _guard(job: Job) -> engine.Guard | None:
    """What it must not go beyond, of a job that was confirmed."""
    if job.confirms_id is None:
        return None
    plan = job.plan or {}
    return engine.Guard(
        deletes=int(plan.get("deletes", 0)),
        fingerprint=str(plan.get("fingerprint", "")),
        moment=float(plan.get("moment", 0.0)),
    )


def _before(job: Job) -> engine.Progress | None:
    """What earlier attempts have done, once it was known what there is to do."""
    if job.attempt <= 1 or job.total_bytes is None:
        return None
    return engine.Progress(
        phase=engine.Phase.SCANNING,
        speed_bytes=0,
        eta_seconds=None,
        errors=0,
        current_files=(),
        **{name: getattr(job, name) for name in reports.KEPT_FIGURES},
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _end(run: engine.Run, held: Held) -> None:
    # Somebody else may have the job by now.
    if held.stop in (Stop.LOST, Stop.LAPSED):
        run.kill()
    else:
        run.stop()


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for rclone to end by itself; before it is begun again after a temporary error."""

    grace: float
    backoff: float


class Attempt:
    def __init__(
        self,
        settings: Settings,
        job: Job,
        ledger: Ledger,
        stopping: threading.Event,
        patience: Patience,
    ) -> None:
        self._settings = settings
        self._hold = Hold(job.id, job.attempt)
        self._order = engine.Order(
            job_id=job.id,
            attempt=job.attempt,
            operation=str(job.operation),
            source=job.source,
            destination=job.destination,
            bandwidth_limit=job.bandwidth_limit,
            dry_run=job.dry_run,
            options=restored(job.options),
            guard=_guard(job),
            earlier=() if job.retry_of_id is None else (job.retry_of_id,),
        )
        self._ledger = ledger
        self._stopping = stopping
        self._patience = patience
        self._before = _before(job)
        self._paused = job.paused_at is not None
        self._trouble: engine.Trouble | None = None
        self._log = log.bind(job=job.id, attempt=job.attempt)
        self._records = Records(job.id, job.attempt)
        self._records.say("notice", f"Attempt {job.attempt} begins on {job.worker}.")

    def run(self, claimed_at: float) -> None:
        """``claimed_at``: just before the claim, see ``clock.elapsed``."""
        held = Held(self._hold, claimed_at)
        with self._ledger.holding(held):
            self._run(held)

    def _run(self, held: Held) -> None:
        try:
            ending = self._transfer(held)
        except (engine.EngineError, PathRefused, Unusable) as error:
            ending = Ending(False, str(error), None)
        except Exception:  # noqa: BLE001 - one of the few places: the failure becomes the job's
            self._log.exception("the worker failed")
            ending = Ending(False, "The portal failed while it ran this transfer.", None)
        self._log.info(
            "attempt ended", succeeded=ending.succeeded, reason=ending.reason, stop=str(held.stop)
        )
        if held.stop is not Stop.LOST:
            self._ledger.settle(held)
            if words := _left_out(ending):
                self._records.say("notice", words)
            self._records.say(*_last_words(ending, held.stop))
            # Before the status is final, so that whoever hears of it finds the log complete.
            self._persist(self._records.end)
            self._persist(lambda: self._report_end(held, ending))

    def _report_end(self, held: Held, ending: Ending) -> None:
        since = held.credited_at
        # A transfer that was done before the stop reached it has nothing to begin again.
        if held.stop is Stop.GIVE_BACK and not ending.succeeded:
            reports.give_back(self._hold, held.reading, since=since)
        elif held.stop is Stop.LAPSED and not ending.succeeded:
            reports.interrupt(self._hold, _OUT_OF_TOUCH, held.reading, since=since)
        else:
            reports.finish(self._hold, ending, held.reading, since=since)

    def _transfer(self, held: Held) -> Ending:
        roots = self._settings.transfer_roots
        mounts = engine.KnownMounts(self._settings.data_dir, roots)
        order = preflight.checked(self._order, roots, mounts)
        run = engine.Run(
            engine.rclone_path(self._settings.rclone),
            order,
            data_dir=self._settings.data_dir,
            grace=self._patience.grace,
            backoff=self._patience.backoff,
            patience=self._settings.storage_patience_seconds,
            paused=self._paused,
            before=self._before,
        )
        if self._is_to_stop(held):
            return Ending(False, None, None)
        with self._ledger.watched(held) as watch:
            try:
                self._follow(run, held, watch)
            finally:
                run.close()
                self._records.collect(run)
        outcome = run.outcome()
        held.reading = outcome.progress or held.reading
        if outcome.found.unreadable_lines:
            self._log.warning(
                "lines of rclone's log could not be read", lines=outcome.found.unreadable_lines
            )
        plan = asdict(outcome.plan) if outcome.plan else None
        return Ending(
            outcome.succeeded,
            outcome.reason,
            outcome.exit_code,
            outcome.error_lines,
            plan,
            asdict(outcome.found),
        )

    def _follow(self, run: engine.Run, held: Held, watch: Callable[[int], None]) -> None:
        def begun(leader: int) -> None:
            watch(leader)
            # A process that was frozen just before the start would else begin what is another's.
            if self._is_to_stop(held):
                _end(run, held)

        heard_at = time.monotonic()
        for reading in run.readings(begun, tick=TICK):
            if reading is not None:
                heard_at = time.monotonic()
                held.reading = reading
                self._records.note(reading.speed_bytes)
            elif time.monotonic() - heard_at > SILENT:
                # It waits for another try, say: the last speed is not that of now.
                self._stands_still(held)
            if self._is_to_stop(held):
                _end(run, held)
            elif held.wishes is not None:
                self._obey(run, held, held.wishes)
            if held.stop not in (Stop.LOST, Stop.LAPSED):
                self._records.keep(run)
            if run.trouble != self._trouble and held.stop is None:
                self._tell(run.trouble)

    def _tell(self, trouble: engine.Trouble | None) -> None:
        told = trouble or engine.Trouble("")
        try:
            reports.tell_trouble(
                self._hold,
                told.words or None,
                silent_since=_moment(told.silent_since),
                next_try_at=_moment(told.next_try_at),
            )
        except AWAY:
            session.rollback()  # the database is away; it is told with the next look
        else:
            self._trouble = trouble

    def _obey(self, run: engine.Run, held: Held, wishes: Seen) -> None:
        run.limit(wishes.bandwidth_limit)
        if wishes.paused:
            run.pause()
            self._stands_still(held)
        else:
            run.resume()

    def _stands_still(self, held: Held) -> None:
        self._records.note(0)
        if held.reading is not None and held.reading.speed_bytes:
            held.reading = replace(held.reading, speed_bytes=0, eta_seconds=None)

    def _is_to_stop(self, held: Held) -> bool:
        if held.stop is None and self._stopping.is_set():
            held.stop = Stop.GIVE_BACK
        self._ledger.check(held)
        return held.stop is not None

    def _persist(self, write: Callable[[], None]) -> None:
        """The end of an attempt must reach the database, however long that is away; unless the
        process ends: then the row stays as it is, and the next start takes the job back."""
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
