"""The rows of jobs, and the conditional changes that the services make to them.

Each method stands for one transaction of the service that its comment names, so it is atomic. It
mirrors the conditions of that service's SQL; which job runs next, what may follow what and whether
a clock was set are the product's own functions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from portal.services.jobs.claims import ClaimStatus
from portal.transfers.scheduling import Load, QueuedJob
from portal.transfers.states import (
    ACTIVE,
    FINAL,
    MAX_INTERRUPTIONS,
    JobStatus,
    Operation,
    may_follow,
)
from tests.simulation.rules import Rules
from tests.simulation.timeline import Timeline
from tests.support.invariants import Change, JobRow

QUEUED, RUNNING, CANCELLING = JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING
INTERRUPTED, CANCELLED, FAILED = JobStatus.INTERRUPTED, JobStatus.CANCELLED, JobStatus.FAILED


@dataclass(slots=True)
class Row:
    """A job. ``reads`` and ``writes`` are paths. ``seconds``: how long an attempt takes."""

    id: int
    owner_id: int
    operation: Operation
    reads: str
    writes: str
    remotes: tuple[int, ...]
    seconds: float
    succeeds: bool
    priority: int = 0
    status: JobStatus = QUEUED
    seq: int = 0
    attempt: int = 0
    interruptions: int = 0
    paused: bool = False
    slot_released: bool = False
    cancel_requested: bool = False
    heartbeat: float = 0.0
    worker_id: int | None = None

    @property
    def goes_on(self) -> bool:
        """As ``blocking._is_open``."""
        interrupted = self.status is INTERRUPTED and self.operation.deletes
        return self.status not in FINAL and not interrupted

    def outcome(self) -> JobRow:
        return JobRow(
            *(self.id, self.status, self.operation, self.seq, self.attempt, self.interruptions),
            *(self.cancel_requested, self.owner_id, self.remotes),
        )


def overlap(one: str, other: str) -> bool:
    """Whether it is one place, or one of the two contains the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def clash(one: Row, other: Row) -> bool:
    """Whether two jobs may not run at once, as ``blocking`` has it of jobs that may replace files.
    A check writes nothing, and waits for nobody."""
    if Operation.CHECK in (one.operation, other.operation):
        return False
    return (
        overlap(one.writes, other.writes)
        or overlap(one.reads, other.writes)
        or overlap(one.writes, other.reads)
    )


class Database:
    def __init__(self, timeline: Timeline, rules: Rules) -> None:
        self._timeline = timeline
        self._rules = rules
        self.rows: dict[int, Row] = {}
        self.open: dict[int, Row] = {}
        self.changes: list[Change] = []
        self.user_limit = 0
        self.remote_limits: dict[int, int] = {}
        #: By how many seconds its clock was set ahead.
        self.ahead = 0.0
        self.away_until = 0.0
        #: Who may sweep, and until when if it falls silent: ``session.advisory_lock``.
        self.sweeping: tuple[object, float] = (None, 0.0)

    @property
    def clock(self) -> float:
        return self._timeline.now + self.ahead

    # --- transitions ------------------------------------------------------------------------------

    def add(self, row: Row) -> None:
        self.rows[row.id] = self.open[row.id] = row
        self._changed(row, None)

    def change(self, row: Row, old: JobStatus, new: JobStatus, attempt: int | None = None) -> bool:
        """``transitions.transition`` and ``update_job``: whether the row had this status, and this
        attempt if one is given."""
        if row.status is not old:
            return False
        if attempt not in (None, row.attempt) and self._rules.checks_attempt:
            return False
        assert new is old or may_follow(old, new), f"{old} to {new}"
        row.status = new
        if new is INTERRUPTED is not old:
            row.interruptions += 1
        self._changed(row, old)
        return True

    def _changed(self, row: Row, old: JobStatus | None) -> None:
        row.seq += 1
        if not row.goes_on:
            self.open.pop(row.id, None)
            row.paused = False
        holds_slot = row.status in ACTIVE and not row.slot_released
        now = self._timeline.now
        self.changes.append(Change(row.id, row.seq, old, row.status, now, holds_slot))
        self._timeline.tell("database: job", row.id, row.status, "attempt", row.attempt)

    # --- the queue: scheduler, limits, blocking, claims ------------------------------------------

    def find_next(self, skip: Collection[int] = (), slots: int = 1) -> QueuedJob | None:
        waiting = [row for row in self.open.values() if row.status is QUEUED and row.id not in skip]
        if not waiting:
            return None
        queue = [
            QueuedJob(
                *(row.id, row.owner_id, row.priority, 0, row.remotes, row.paused),
                blocked=self.is_blocked(row),
            )
            for row in waiting
        ]
        return self._rules.choose(queue, self._load(slots))

    def _load(self, slots: int) -> Load:
        """``limits.read_load``."""
        load = Load(user_limit=self.user_limit, remote_limits=self.remote_limits, slots=slots)
        for row in self.open.values():
            if row.status in ACTIVE and not (row.slot_released and row.paused):
                load.owners[row.owner_id] += 1
                load.remotes.update(row.remotes)
        return load

    def is_blocked(self, row: Row) -> bool:
        """``blocking.is_alone``."""
        rank = (-row.priority, row.id)
        return any(
            (other.status in ACTIVE or (-other.priority, other.id) < rank)
            and other is not row
            and clash(row, other)
            for other in self.open.values()
        )

    def _leaves_room(self, row: Row) -> bool:
        """``limits.leave_room``."""
        running = [
            other
            for other in self.open.values()
            if other.status in ACTIVE and not other.slot_released and other is not row
        ]
        if self.user_limit and (
            sum(other.owner_id == row.owner_id for other in running) >= self.user_limit
        ):
            return False
        return all(
            sum(remote in other.remotes for other in running) < self.remote_limits[remote]
            for remote in row.remotes
            if remote in self.remote_limits
        )

    def claim(self, job_id: int, worker_id: int) -> int | None:
        """Returns the new attempt; None if the job may not run."""
        row = self.rows[job_id]
        if row.status is not QUEUED or row.paused:
            return None
        if self._rules.claims_alone and self.is_blocked(row):
            return None
        if self._rules.claims_within_limits and not self._leaves_room(row):
            return None
        row.attempt += 1
        row.slot_released = False
        row.heartbeat = self.clock
        row.worker_id = worker_id
        self.change(row, QUEUED, RUNNING)
        return row.attempt

    def release_slot(self, job_id: int, attempt: int) -> bool:
        row = self.rows[job_id]
        if not row.paused or not self._is_running(row, attempt):
            return False
        row.slot_released = True
        return self.change(row, RUNNING, RUNNING, attempt)

    def take_slot(self, job_id: int, attempt: int) -> bool:
        row = self.rows[job_id]
        if row.paused or not self._is_running(row, attempt) or not self._leaves_room(row):
            return False
        row.slot_released = False
        return self.change(row, RUNNING, RUNNING, attempt)

    def _is_running(self, row: Row, attempt: int) -> bool:
        return row.status is RUNNING and row.attempt == attempt

    # --- what workers report ----------------------------------------------------------------------

    def check_claims(
        self, claims: Collection[tuple[int, int]], *, renew: bool
    ) -> dict[tuple[int, int], tuple[ClaimStatus, bool]]:
        """``claims.heartbeat`` and ``read_directives``: the status of each claim, and whether its
        job is paused."""
        found = {}
        for job_id, attempt in claims:
            row = self.rows[job_id]
            lost = row.status not in ACTIVE or (
                row.attempt != attempt and self._rules.checks_attempt
            )
            if renew and not lost:
                row.heartbeat = self.clock
            status = ClaimStatus.LOST if lost else ClaimStatus.VALID
            if row.status is CANCELLING and not lost:
                status = ClaimStatus.CANCELLED
            found[job_id, attempt] = status, row.paused
        return found

    def end(self, job_id: int, attempt: int, new: JobStatus) -> None:
        """``reports.finish``, ``requeue`` and ``mark_interrupted``."""
        row = self.rows[job_id]
        if not self.change(row, RUNNING, new, attempt):
            self.change(row, CANCELLING, CANCELLED, attempt)

    # --- rescue -----------------------------------------------------------------------------------

    def stale(self, stalled_after: float, right_at: float) -> list[tuple[int, int]]:
        """Jobs, with their attempts, that no heartbeat came for. ``right_at``: a time at which the
        clock was right."""
        return [
            (row.id, row.attempt)
            for row in self.open.values()
            if row.status in ACTIVE and self._is_stale(row, stalled_after, right_at)
        ]

    def _is_stale(self, row: Row, seconds: float, right_at: float) -> bool:
        """``rescue._is_stale``."""
        away = abs(self.clock - row.heartbeat) > seconds
        if not self._rules.mistrusts_clocks:
            return away
        return away and abs(right_at - row.heartbeat) > seconds

    def rescue_stale(self, claim: tuple[int, int], stalled_after: float, right_at: float) -> bool:
        row = self.rows[claim[0]]
        return self._is_stale(row, stalled_after, right_at) and self.rescue(*claim)

    def rescue(self, job_id: int, attempt: int) -> bool:
        """``rescue._rescue``."""
        row = self.rows[job_id]
        if row.status is CANCELLING:
            return self.change(row, CANCELLING, CANCELLED, attempt)
        return self.change(row, RUNNING, INTERRUPTED, attempt)

    def requeue_interrupted(self) -> bool:
        changed = False
        for row in [one for one in self.rows.values() if one.status is INTERRUPTED]:
            if row.operation.deletes and self._rules.spares_what_deletes:
                continue
            new = FAILED if row.interruptions > MAX_INTERRUPTIONS else QUEUED
            if new is QUEUED:
                self.open[row.id] = row
            changed |= self.change(row, INTERRUPTED, new, row.attempt)
        return changed

    # --- what people ask: control -----------------------------------------------------------------

    def cancel(self, row: Row) -> bool:
        """Returns whether it was accepted."""
        if row.status in (CANCELLING, CANCELLED):
            return True
        if row.status not in (QUEUED, RUNNING, INTERRUPTED):
            return False
        row.cancel_requested = True
        return self.change(row, row.status, CANCELLING if row.status is RUNNING else CANCELLED)

    def pause(self, row: Row, paused: bool) -> bool:
        """Pauses a running job, or resumes one that has not ended."""
        if paused == row.paused or not row.goes_on or row.status is CANCELLING:
            return False
        if paused and row.status is not RUNNING:
            return False
        row.paused = paused
        return self.change(row, row.status, row.status)

    def prioritise(self, row: Row, priority: int) -> bool:
        if not row.goes_on or row.status is CANCELLING or row.priority == priority:
            return False
        row.priority = priority
        return self.change(row, row.status, row.status)
