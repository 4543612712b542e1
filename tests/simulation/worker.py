"""A worker process: its dispatcher, its reporter and the attempts at its jobs.

It mirrors ``portal.worker``: ``Dispatcher``, ``ProgressReporter`` and ``Attempt`` have the names
they have there. ``Slots``, ``Timing`` and the statuses of claims are the product's own. The
reporter of the product asks every 0.4 s what people want; here it asks in that time after somebody
wanted something, since all looks between would find nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portal.services.jobs.claims import ClaimStatus
from portal.transfers.scheduling import QueuedJob
from portal.transfers.states import JobStatus
from portal.worker.progress_reporter import SHARED_POLL_INTERVAL, Stop
from portal.worker.slots import JobSlot, Slots
from tests.simulation.portal_process import PortalProcess
from tests.simulation.rclone import Rclone, Watchdog

#: Seconds between two looks of an attempt at itself, and until it asks for a slot again.
_TICK, _ASK_AGAIN = 0.1, 0.5
#: Seconds that the jobs get when a worker is stopped.
_STOP_SECONDS = 8.5
_STOPS = {
    ClaimStatus.VALID: None,
    ClaimStatus.CANCELLED: Stop.CANCELLED,
    ClaimStatus.LOST: Stop.LOST,
}
_HELD_NO_MORE = (Stop.LOST, Stop.LEASE_EXPIRED)


class Worker(PortalProcess):
    def __init__(self, *arguments: Any, slots: int, keeps_slot: float) -> None:
        """``keeps_slot``: seconds after which a paused job gives its slot back."""
        super().__init__(*arguments)
        self.number_of_slots = slots
        self.keeps_slot = keeps_slot
        self.worker_id = 0
        self.ready = self.stopping = False
        self.attempts: list[Attempt] = []
        self.rclones: list[Rclone] = []
        self.watchdog = Watchdog(self.timeline, self.rules.timing.watchdog_timeout)

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Rescues the jobs of its dead predecessor, then begins."""
        self.alive = True
        self.watchdog.kill_all()
        self.ask(self._rescue_predecessor, then=self._begin, failed=self._start_again)

    def _start_again(self) -> None:
        self.after(1.0, self.start)

    def _rescue_predecessor(self) -> None:
        for row in list(self.database.open.values()):
            if row.worker_id == self.worker_id and row.status in ("running", "cancelling"):
                self.database.rescue(row.id, row.attempt)
        self.database.requeue_interrupted()

    def _begin(self, _: None) -> None:
        self.worker_id = self.world.new_worker_id()
        self.timeline.tell(self.name, "starts as worker", self.worker_id)
        self.watchdog = Watchdog(self.timeline, self.rules.timing.watchdog_timeout)
        self.ready = True
        self.stopping = self.looking = self.wanted = False
        self.slots = Slots(self.number_of_slots, freed=self.look)
        self.claiming: set[int] = set()
        self.refused: set[int] = set()
        timing = self.rules.timing
        self.every(timing.heartbeat, lambda: self.report(renew=True))
        if self.rules.looks_by_itself:
            self.every(timing.sweep, self.look_again)
        self.sweep_for_ever()
        self.look()
        self.send_look()

    def kill(self) -> None:
        super().kill()
        self.ready = False
        self.attempts.clear()
        self.watchdog.end_all()

    def stop(self) -> None:
        """SIGTERM: jobs go back into the queue; then the process ends, and another one starts."""
        self.timeline.tell(self.name, "is asked to stop")
        self.stopping = True
        for attempt in self.attempts:
            self.after(_TICK, attempt.look)
        self.after(_STOP_SECONDS, self._restart)

    def _restart(self) -> None:
        self.kill()
        self.timeline.after(self.timeline.between(0.0, 20.0), self.revive)

    def sleep(self) -> None:
        """With its watchdog and all its rclones: the machine sleeps."""
        self.freeze()
        self.watchdog.sleep()

    def thaw(self) -> None:
        if self.watchdog.asleep:
            self.watchdog.wake()
        super().thaw()

    # --- dispatcher -------------------------------------------------------------------------------

    def look_again(self) -> None:
        self.refused.clear()
        self.look()

    def hear_look(self) -> None:
        """A message came."""
        if self.ready:
            self.after(0.0, self.look_again)

    def look(self) -> None:
        """One thread looks. It is asked often: while it looks, for one look more."""
        self.wanted = True
        if not self.looking:
            self.looking = True
            self.after(0.0, self._fill_slots)

    def _fill_slots(self) -> None:
        self.wanted = False
        if self.stopping or not self.slots.has_room:
            self._stand_by()
            return
        skip = self.claiming | self.refused
        self.ask(lambda: self.database.find_next(skip), then=self._run, failed=self._stand_by)

    def _stand_by(self) -> None:
        self.looking = False
        if self.wanted:
            self.look()

    def _run(self, job: QueuedJob | None) -> None:
        slot = self.slots.take() if job else None
        if job is None or slot is None:
            self._stand_by()
            return
        self.claiming.add(job.job_id)
        # Where it reads and writes is looked up before.
        self.after(self.timeline.between(0.0, 0.3), lambda: self._claim(job.job_id, slot))
        self._fill_slots()

    def _claim(self, job_id: int, slot: JobSlot) -> None:
        claimed_at = self.timeline.now

        def refused() -> None:
            self.claiming.discard(job_id)
            self.refused.add(job_id)
            slot.release()

        def claimed(number: int | None) -> None:
            if number is None:
                refused()
            else:
                Attempt(self, (job_id, number), slot, claimed_at)

        if self.stopping:
            refused()
        else:
            claim = self.database.claim
            self.ask(lambda: claim(job_id, self.worker_id), then=claimed, failed=refused)

    # --- reporter ---------------------------------------------------------------------------------

    def hear_wish_of(self, job_id: int) -> None:
        """Somebody wants something of a job: the next look at its row will find it."""
        if any(attempt.claim[0] == job_id for attempt in self.attempts):
            self.after(self.timeline.between(0.0, SHARED_POLL_INTERVAL), self.report)

    def report(self, *, renew: bool = False) -> None:
        held = [one for one in self.attempts if one.stop not in _HELD_NO_MORE]
        if not held:
            return
        sent_at = self.timeline.now
        claims = [one.claim for one in held]

        def answered(found: dict[tuple[int, int], tuple[ClaimStatus, bool]]) -> None:
            for one in held:
                status, paused = found[one.claim]
                if renew and status is not ClaimStatus.LOST:
                    one.renewed_at = sent_at
                one.note(_STOPS[status], paused)
            self.watchdog.kept(min(one.renewed_at for one in held))

        def failed() -> None:
            self.after(1.0, lambda: self.report(renew=renew))

        check = self.database.check_claims
        self.ask(lambda: check(claims, renew=renew), then=answered, failed=failed)


class Attempt:
    """One try of a worker at a job, from its claim to the end that it reports."""

    def __init__(
        self, worker: Worker, claim: tuple[int, int], slot: JobSlot, claimed_at: float
    ) -> None:
        self.claim = claim
        self.stop: Stop | None = None
        self.renewed_at = claimed_at
        self._worker = worker
        self._slot = slot
        self._rclone: Rclone | None = None
        self._paused = False
        self._paused_since: float | None = None
        self._asked_to_release = False
        self._ended = False
        worker.attempts.append(self)
        self._watch_lease()
        worker.after(worker.timeline.between(0.0, 1.0), self._start)

    def _start(self) -> None:
        worker = self._worker
        if self._is_to_stop():
            self._report_end(succeeded=False)
            return
        row = worker.database.rows[self.claim[0]]
        worker.timeline.tell(worker.name, "starts rclone of job", *self.claim)
        self._rclone = Rclone(
            worker.timeline,
            self.claim,
            row.seconds,
            row.succeeds,
            lambda succeeded: worker.after(_TICK, lambda: self._exited(succeeded)),
        )
        worker.rclones.append(self._rclone)
        worker.watchdog.hold(self._rclone, self.renewed_at)
        worker.after(0.0, self.look)  # frozen just before the start, it may have lost its job

    def _is_to_stop(self) -> bool:
        worker = self._worker
        if self.stop is None and worker.stopping:
            self.stop = Stop.SHUTDOWN
        silent = worker.timeline.now - self.renewed_at
        if self.stop is None and silent > worker.rules.timing.max_offline:
            self.stop = Stop.LEASE_EXPIRED
        return self.stop is not None

    def _watch_lease(self) -> None:
        if self._ended:
            return
        self.look()
        expires = self.renewed_at + self._worker.rules.timing.max_offline
        left = max(expires - self._worker.timeline.now, 0.0) + _TICK
        if self.stop is None:
            self._worker.after(left, self._watch_lease)

    def note(self, stop: Stop | None, paused: bool) -> None:
        """What the reporter found."""
        self.stop = self.stop or stop
        self._paused = paused
        self._worker.after(_TICK * self._worker.timeline.random.random(), self.look)

    def look(self) -> None:
        rclone = self._rclone
        if self._is_to_stop() and rclone is not None and not rclone.dead:
            if self.stop in _HELD_NO_MORE:
                rclone.kill()
            else:
                rclone.stop()
        elif rclone is not None and not rclone.dead:
            self._pause(rclone) if self._paused else self._resume(rclone)

    # --- pause ------------------------------------------------------------------------------------

    def _pause(self, rclone: Rclone) -> None:
        rclone.suspend()
        now, keeps = self._worker.timeline.now, self._worker.keeps_slot
        if self._paused_since is None:
            self._paused_since = now
            self._worker.after(keeps, self.look)
        if now >= self._paused_since + keeps and self._slot.held:
            self._asked_to_release = True
            release = self._worker.database.release_slot
            self._ask(lambda: release(*self.claim), then=self._released)

    def _released(self, noted: bool) -> None:
        if noted:
            self._slot.release()
        else:
            self._worker.after(_ASK_AGAIN, self.look)

    def _resume(self, rclone: Rclone) -> None:
        if not rclone.suspended:
            return
        if self._slot.held and not self._asked_to_release:
            self._paused_since = None
            rclone.resume()
        elif self._slot.regain():
            take = self._worker.database.take_slot
            self._ask(lambda: take(*self.claim), then=self._regained)
        else:
            self._worker.after(_ASK_AGAIN, self.look)

    def _regained(self, noted: bool) -> None:
        if noted:
            self._asked_to_release = False
        else:
            self._slot.release()
        self._worker.after(0.0 if noted else _ASK_AGAIN, self.look)

    def _ask(self, statement: Callable[[], bool], then: Callable[[bool], None]) -> None:
        self._worker.ask(statement, then=then, failed=lambda: then(False))

    # --- the end ----------------------------------------------------------------------------------

    def _exited(self, succeeded: bool) -> None:
        if self not in self._worker.attempts:
            return  # of a process that has died
        self._is_to_stop()
        assert self._rclone is not None
        self._worker.watchdog.release(self._rclone)
        self._report_end(succeeded=succeeded)

    def _report_end(self, *, succeeded: bool) -> None:
        new = JobStatus.COMPLETED if succeeded else JobStatus.FAILED
        if self.stop is Stop.SHUTDOWN and not succeeded:
            new = JobStatus.QUEUED
        elif self.stop is Stop.LEASE_EXPIRED and not succeeded:
            new = JobStatus.INTERRUPTED
        if self.stop is Stop.LOST:
            self._over()
        else:
            self._persist(new)

    def _persist(self, new: JobStatus) -> None:
        """Until the database has accepted it, however long that takes."""
        worker = self._worker
        worker.ask(
            lambda: worker.database.end(*self.claim, new),
            then=lambda _: self._over(),
            failed=lambda: worker.after(1.0, lambda: self._persist(new)),
        )

    def _over(self) -> None:
        self._ended = True
        self._worker.attempts.remove(self)
        self._worker.claiming.discard(self.claim[0])
        self._slot.release()
        self._worker.send_look()
