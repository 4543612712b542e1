"""What a worker process holds, and the one thread that tells the database of all of it.

One look and one write for all its jobs, however many: a job more costs the database hardly
anything.
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
from portal.services.jobs import reports
from portal.services.jobs.reports import (
    Hold,
    Seen,
    Standing,
    Told,
)
from portal.worker.lease import Lease

log = structlog.get_logger(__name__)

#: Seconds between two events of progress of a job. A client gets at most one a second, and the
#: fan-out may hold the first of two back for a fifth of a second.
PACE = 1.2
HEARTBEAT = 5.0
#: Seconds between two looks at the cancel column; more where there may be many workers.
LOOK = 0.25
SHARED_LOOK = 0.4


class Stop(Enum):
    """Why an attempt is to end before its rclone does."""

    CANCELLED = auto()
    #: Somebody else has the job by now.
    LOST = auto()
    #: The database was out of reach for so long that somebody else may have the job.
    LAPSED = auto()
    GIVE_BACK = auto()


class Held:
    """A job in work: what its own thread and the ledger's tell one another."""

    def __init__(self, hold: Hold, claimed_at: float) -> None:
        self.hold = hold
        #: The newest reading; the job's thread writes it.
        self.reading: engine.Progress | None = None
        #: When the last reading arrived.
        self.credited_at = now()
        #: Nothing more is told of it: its end is on the way.
        self.ending = False
        #: The ledger writes these.
        self.stop: Stop | None = None
        self.fault: SQLAlchemyError | None = None
        #: What people ask of it; none until the first look.
        self.wishes: Seen | None = None
        #: When the last statement was sent that kept the hold, see ``clock.elapsed``.
        self.kept_at = claimed_at
        self.told_at = 0.0


class Ledger:
    def __init__(self, lease: Lease | None, watchdog: engine.Watchdog | None = None) -> None:
        self._lease = lease
        self._watchdog = lease.watchdog if lease else watchdog
        self._look = SHARED_LOOK if lease else LOOK
        self._held: dict[Hold, Held] = {}
        self._lock = threading.Lock()
        self._round = threading.Lock()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def holding(self, held: Held) -> Iterator[None]:
        """From the claim to the end of the attempt."""
        with self._lock:
            self._held[held.hold] = held
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="ledger", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._held[held.hold]

    @contextmanager
    def watched(self, held: Held) -> Iterator[Callable[[int], None]]:
        """Gives a call that takes the leader of rclone's process group, once it runs: the
        watchdog ends the group if this process no longer can. The group is dead at the end."""
        watchdog = self._watchdog
        leaders: list[int] = []

        def watch(leader: int) -> None:
            if watchdog is not None:
                leaders.append(leader)
                watchdog.hold(leader, held.kept_at)

        try:
            yield watch
        finally:
            if watchdog is not None:
                for leader in leaders:
                    watchdog.release(leader)

    def check(self, held: Held) -> None:
        """For the job's own thread, now and then: raises what went wrong, and lets go of a job
        that may be someone else's by now, also while the ledger itself waits for an answer."""
        if held.fault is not None:
            raise held.fault
        thread = self._thread
        if thread is None or not thread.is_alive():
            raise RuntimeError("the ledger has ended")
        ride = self._lease.timing.max_offline if self._lease else math.inf
        if held.stop is None and elapsed() - held.kept_at > ride:
            held.stop = Stop.LAPSED

    def settle(self, held: Held) -> None:
        """No word of progress is on its way when this returns, and none follows."""
        held.ending = True
        with self._round:
            return

    # --- its thread ---

    def _keep(self) -> None:
        while True:
            with self._lock:
                held = list(self._held.values())
                if not held:
                    self._thread = None
                    break
            try:
                with self._round:
                    self._tell_and_look(held)
            except AWAY as error:
                # The database is away for a moment; the transfers need not suffer for it.
                log.warning("progress was not written", jobs=len(held), error=reason(error))
            finally:
                session.remove()
            time.sleep(self._look)

    def _tell_and_look(self, held: list[Held]) -> None:
        kept = [one for one in held if one.stop not in (Stop.LOST, Stop.LAPSED)]
        open_ = [one for one in kept if one.stop is None and not one.ending]
        moment = elapsed()
        due = [one for one in open_ if one.reading and moment - one.told_at >= PACE]
        self._tell(due)
        between = self._lease.timing.heartbeat if self._lease else HEARTBEAT
        beating = [one for one in kept if moment - one.kept_at >= between]
        self._beat(beating)
        seen = {*due, *beating}
        others = [one for one in open_ if one not in seen]
        seen_now = reports.survey([one.hold for one in others])
        _note(others, {hold: seen.standing for hold, seen in seen_now.items()})
        for one in others:
            one.wishes = seen_now[one.hold]
        if self._lease and kept:
            self._lease.watchdog.kept(min(one.kept_at for one in kept))

    def _tell(self, due: list[Held]) -> None:
        sent_at = elapsed()
        readings = [(one, one.reading) for one in due if one.reading is not None]
        try:
            standings = reports.tell(
                [Told(one.hold, reading, one.credited_at) for one, reading in readings]
            )
        except AWAY:
            # Counted from when it went out: one that had to wait must not bring two close.
            for one in due:
                one.told_at = elapsed()
            raise
        except SQLAlchemyError as error:
            session.rollback()
            if len(due) == 1:
                due[0].fault = error
            else:
                # Something is wrong with one of them; the others must not suffer for it.
                for one in due:
                    self._tell([one])
            return
        for one, _ in readings:
            one.told_at = elapsed()
            if standings[one.hold] is Standing.HOLDS:
                one.credited_at = now()
                one.kept_at = sent_at
        _note(due, standings)

    def _beat(self, beating: list[Held]) -> None:
        sent_at = elapsed()
        standings = reports.heartbeat([one.hold for one in beating])
        for one in beating:
            if standings[one.hold] is not Standing.LOST:
                one.kept_at = sent_at
        _note(beating, standings)


def _note(held: list[Held], standings: dict[Hold, Standing]) -> None:
    for one in held:
        if one.stop is None:
            one.stop = _STOPS[standings[one.hold]]


_STOPS = {
    Standing.HOLDS: None,
    Standing.CANCELLED: Stop.CANCELLED,
    Standing.LOST: Stop.LOST,
}
