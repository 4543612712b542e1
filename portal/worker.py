"""Runs a job: claim, engine, report, finish. The same code under every executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

import structlog
from sqlalchemy.exc import OperationalError

from portal import engine
from portal.database import session
from portal.models import Job
from portal.paths import PathRefused, nested, resolve
from portal.records import Records
from portal.services import reports
from portal.services.reports import Ending, Standing
from portal.settings import Settings

log = structlog.get_logger(__name__)

#: Seconds between two events of progress of a job. A client gets at most one a second, and the
#: fan-out may hold the first of two back for a fifth of a second.
PACE = 1.2
HEARTBEAT = 5.0
#: Seconds between two looks at the cancel column, and the shortest step of all of these.
LOOK = 0.25
TICK = 0.1
#: Seconds for which a worker that is stopped still tries to reach a database that is away.
LAST_TRIES = 3.0

#: What the database raises while it is away or locked.
DatabaseAway = OperationalError


def recover() -> None:
    """Takes back the jobs of a dead process. Only while no other worker can be alive."""
    try:
        reports.recover()
    finally:
        session.remove()


def queued_jobs() -> list[int]:
    """Ids of the jobs that wait, oldest first."""
    try:
        reports.requeue_interrupted()
        return reports.queued_ids()
    finally:
        session.remove()


class _Stop(Enum):
    CANCELLED = auto()
    LOST = auto()
    GIVE_BACK = auto()


class Worker:
    """``name`` tells people and rows which process it is, such as ``web1:4711``."""

    def __init__(self, settings: Settings, name: str, *, grace: float = 10.0) -> None:
        self._settings = settings
        self._name = name
        self._grace = grace
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Running transfers are ended and given back to the queue; nothing new is claimed."""
        self._stopping.set()

    def execute(self, job_id: int) -> None:
        """Runs the job to its end. Does nothing if it is not queued (any more)."""
        if self._stopping.is_set():
            return
        try:
            job = reports.claim(job_id, self._name)
            if job is not None:
                _Attempt(self._settings, job, self._stopping, self._grace).run()
        finally:
            session.remove()


def _last_words(ending: Ending, stop: _Stop | None) -> tuple[str, str]:
    """Level and text of the last line in the log of an attempt."""
    if ending.succeeded:
        return "notice", "The attempt ended."
    if stop is _Stop.CANCELLED:
        return "notice", "The attempt was cancelled."
    if stop is _Stop.GIVE_BACK:
        return "notice", "The worker was stopped; the job goes back to the queue."
    return "error", f"The attempt failed. {ending.reason or ''}".rstrip()


class _Attempt:
    def __init__(
        self, settings: Settings, job: Job, stopping: threading.Event, grace: float
    ) -> None:
        self._settings = settings
        self._job_id, self._number = job.id, job.attempt
        self._order = engine.Order(
            job_id=job.id,
            attempt=job.attempt,
            operation=str(job.operation),
            source=job.source,
            destination=job.destination,
            bandwidth_limit=job.bandwidth_limit,
            dry_run=job.dry_run,
        )
        self._stopping = stopping
        self._grace = grace
        self._reading: engine.Progress | None = None
        self._credited = 0
        self._told_at = self._beaten_at = self._looked_at = time.monotonic() - PACE
        self._stop: _Stop | None = None
        self._log = log.bind(job=job.id, attempt=job.attempt)
        self._records = Records(job.id, job.attempt)
        self._records.say("notice", f"Attempt {job.attempt} begins on {job.worker}.")

    def run(self) -> None:
        try:
            ending = self._transfer()
        except (engine.EngineError, PathRefused) as error:
            ending = Ending(False, str(error), None)
        except Exception:  # noqa: BLE001 - one of the few places: the failure becomes the job's
            self._log.exception("the worker failed")
            ending = Ending(False, "The portal failed while it ran this transfer.", None)
        self._log.info(
            "attempt ended", succeeded=ending.succeeded, reason=ending.reason, stop=str(self._stop)
        )
        if self._stop is _Stop.LOST:
            return
        self._records.say(*_last_words(ending, self._stop))
        # Before the status is final, so that whoever hears of it finds the log complete.
        self._persist(self._records.end)
        # A transfer that was done before the stop reached it has nothing to begin again.
        if self._stop is _Stop.GIVE_BACK and not ending.succeeded:
            self._persist(
                lambda: reports.give_back(
                    self._job_id, self._number, self._reading, moved=self._moved()
                )
            )
        else:
            self._persist(
                lambda: reports.finish(
                    self._job_id, self._number, ending, self._reading, moved=self._moved()
                )
            )

    def _transfer(self) -> Ending:
        self._check_paths()
        transfer = engine.Transfer(
            engine.rclone_path(self._settings.rclone),
            self._order,
            data_dir=self._settings.data_dir,
            grace=self._grace,
        )
        try:
            transfer.start()
            for reading in transfer.readings(tick=TICK):
                if reading is not None:
                    self._reading = reading
                    self._records.note(reading)
                if self._stop is None:
                    self._stop = self._look()
                if self._stop is not None:
                    transfer.stop()
                if self._stop is not _Stop.LOST:
                    self._records.keep(transfer)
        finally:
            transfer.close()
            self._records.collect(transfer)
        outcome = transfer.outcome()
        self._reading = outcome.progress or self._reading
        return Ending(outcome.succeeded, outcome.reason, outcome.exit_code, outcome.error_lines)

    def _check_paths(self) -> None:
        # Again, just before the start: a folder may have become a symlink since it was allowed.
        source = self._allowed("source", self._order.source)
        destination = self._allowed("destination", self._order.destination)
        if nested(source, destination):
            raise PathRefused("The source and the destination lie inside one another.")

    def _allowed(self, side: str, path: str) -> Path:
        try:
            return resolve(path, self._settings.transfer_roots)
        except PathRefused as refused:
            raise PathRefused(f"The {side} may no longer be used. {refused.reason}") from None

    def _look(self) -> _Stop | None:
        """Once a tick: tell of progress if it is time, and see whether to go on."""
        if self._stopping.is_set():
            return _Stop.GIVE_BACK
        moment = time.monotonic()
        try:
            standing = self._tell(moment)
        except OperationalError as error:
            # The database is away for a moment; the transfer need not suffer for it.
            self._log.warning("progress was not written", error=str(error.orig))
            session.rollback()
            return None
        if standing is Standing.CANCELLED:
            return _Stop.CANCELLED
        return _Stop.LOST if standing is Standing.LOST else None

    def _tell(self, moment: float) -> Standing:
        if self._reading is not None and moment - self._told_at >= PACE:
            self._told_at = self._beaten_at = moment
            told = self._reading
            standing = reports.progress(self._job_id, self._number, told, moved=self._moved())
            # Counted from when it went out: a write that had to wait must not bring two close.
            self._told_at = time.monotonic()
            if standing is Standing.HOLDS:
                self._credited = max(self._credited, told.bytes_transferred)
            return standing
        if moment - self._looked_at < LOOK:
            return Standing.HOLDS
        self._looked_at = moment
        if moment - self._beaten_at >= HEARTBEAT:
            self._beaten_at = moment
            reports.heartbeat(self._job_id, self._number)
        return reports.standing(self._job_id, self._number)

    def _moved(self) -> int:
        """Bytes that no total has counted yet."""
        return max(0, (self._reading.bytes_transferred if self._reading else 0) - self._credited)

    def _persist(self, write: Callable[[], None]) -> None:
        """The end of an attempt must reach the database, however long that is away; unless the
        process ends: then the row stays as it is, and the next start takes the job back."""
        give_up_at: float | None = None
        while True:
            try:
                write()
            except OperationalError as error:
                self._log.warning("the end of the attempt was not written", error=str(error.orig))
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
