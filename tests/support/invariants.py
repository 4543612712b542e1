"""What must be true of jobs whatever happened to them. Pure checks of plain rows: those of the
simulation (``tests/simulation``), and those of a real database after a fault.

Each check raises AssertionError with a sentence that says which job broke which rule.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from portal.transfers.states import ACTIVE, FINAL, JobStatus, Operation, goes_on, may_follow


class JobRow(NamedTuple):
    """A job as its row has it at the end."""

    id: int
    status: JobStatus
    operation: Operation
    seq: int
    attempt: int
    interruptions: int
    cancel_requested: bool = False
    owner_id: int = 0
    remotes: tuple[int, ...] = ()


class Change(NamedTuple):
    """One change of a row, in the order of the commits. ``old`` is None for a new job; a change
    that leaves the status as it was has ``old`` equal to ``new``. ``holds_slot``: whether the job
    counts against the limits from now on."""

    job_id: int
    seq: int
    old: JobStatus | None
    new: JobStatus
    at: float = 0.0
    holds_slot: bool = False


class Lifetime(NamedTuple):
    """From when to when an rclone of this attempt lived. ``works``: it was not suspended."""

    job_id: int
    attempt: int
    began: float
    ended: float = math.inf
    works: bool = True


#: Statuses in which the row of a real job changes without an event: by progress.
WITHOUT_EVENT = frozenset({JobStatus.RUNNING})


def by_job(changes: Iterable[Change]) -> dict[int, list[Change]]:
    found: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        found[change.job_id].append(change)
    return found


def assert_each_ended_once(
    rows: Iterable[JobRow],
    changes: Iterable[Change],
    without_event: Collection[JobStatus] = WITHOUT_EVENT,
) -> None:
    """Each job has one ending, its last, and the changes tell of it without a gap."""
    told = by_job(changes)
    for row in rows:
        own = told[row.id]
        statuses = [change.new for change in own if change.new is not change.old]
        assert row.status in FINAL or not goes_on(row.status, row.operation), (
            f"job {row.id} has not ended: {statuses}"
        )
        assert sum(status in FINAL for status in statuses) == (row.status in FINAL), (
            f"job {row.id} did not end once: {statuses}"
        )
        _assert_without_gap(row, own, without_event)
        begun, lost = statuses.count(JobStatus.RUNNING), statuses.count(JobStatus.INTERRUPTED)
        assert row.attempt == begun, f"job {row.id} has attempt {row.attempt}: {statuses}"
        assert row.interruptions == lost, f"job {row.id}: {row.interruptions} in {statuses}"
        if row.cancel_requested:
            assert row.status is JobStatus.CANCELLED, f"job {row.id} was cancelled: {statuses}"
        if row.operation.deletes:
            again = itertools.pairwise(statuses)
            assert (JobStatus.INTERRUPTED, JobStatus.QUEUED) not in again, (
                f"job {row.id} deletes, and was begun again by itself: {statuses}"
            )


def _assert_without_gap(
    row: JobRow, own: Sequence[Change], without_event: Collection[JobStatus]
) -> None:
    first, last = own[0], own[-1]
    assert (first.old, first.seq) == (None, 1), f"job {row.id} begins with {first}"
    assert (last.new, last.seq) == (row.status, row.seq), f"job {row.id} ends with {last}"
    for before, after in itertools.pairwise(own):
        assert after.old == before.new, f"job {row.id}: {before.new}, then {after.old}"
        assert after.old == after.new or may_follow(before.new, after.new), (
            f"job {row.id}: {before.new} to {after.new}"
        )
        missing = after.seq - before.seq - 1
        assert missing == 0 or (missing > 0 and before.new in without_event), (
            f"job {row.id}: seq {before.seq}, then {after.seq}"
        )


def assert_rclones_have_claims(lifetimes: Iterable[Lifetime], changes: Iterable[Change]) -> None:
    """An rclone lives only while its attempt has the job. So there are never two of one job, and
    none is left of a job that has ended."""
    claims: dict[tuple[int, int], tuple[float, float]] = {}
    for job_id, own in by_job(changes).items():
        attempt = 0
        for change in own:
            if change.new is JobStatus.RUNNING and change.old is JobStatus.QUEUED:
                attempt += 1
                claims[job_id, attempt] = (change.at, math.inf)
            elif change.old in ACTIVE and change.new not in ACTIVE:
                claims[job_id, attempt] = (claims[job_id, attempt][0], change.at)
    for one in lifetimes:
        begins, ends = claims.get((one.job_id, one.attempt), (math.inf, math.inf))
        assert begins <= one.began <= one.ended <= ends, (
            f"the rclone of job {one.job_id}, attempt {one.attempt}, lived from {one.began:.2f} to "
            f"{one.ended:.2f}, its claim from {begins:.2f} to {ends:.2f}"
        )


def assert_one_at_a_time(lifetimes: Sequence[Lifetime], clash: Callable[[int, int], bool]) -> None:
    """No two rclones of one job live at once, nor two of jobs that ``clash``."""
    ordered = sorted(lifetimes, key=lambda one: one.began)
    living: list[Lifetime] = []
    for one in ordered:
        living = [other for other in living if other.ended > one.began]
        for other in living:
            assert one.job_id != other.job_id, (
                f"job {one.job_id} has two rclones at {one.began:.2f}: attempts {other.attempt} "
                f"and {one.attempt}"
            )
            assert not clash(one.job_id, other.job_id), (
                f"jobs {other.job_id} and {one.job_id} use one place at {one.began:.2f}"
            )
        living.append(one)


def holding(changes: Iterable[Change]) -> list[Lifetime]:
    """From when to when the row of each job counts against the limits."""
    since: dict[int, float] = {}
    found = []
    for change in changes:
        if change.holds_slot:
            since.setdefault(change.job_id, change.at)
        elif change.job_id in since:
            found.append(Lifetime(change.job_id, 0, since.pop(change.job_id), change.at))
    return found + [Lifetime(job_id, 0, at) for job_id, at in since.items()]


def assert_within_limits(
    rows: Iterable[JobRow],
    spans: Iterable[Lifetime],
    per_user: int,
    per_remote: Mapping[int, int],
) -> None:
    """``spans``: rclones that work, or ``holding``. ``per_user``: 0 for no limit; ``per_remote``:
    only of remotes that have one."""
    row_of = {row.id: row for row in rows}
    owners, remotes = Counter[int](), Counter[int]()
    steps = [(one.began, +1, one.job_id) for one in spans]
    steps += [(one.ended, -1, one.job_id) for one in spans]
    for at, by, job_id in sorted(steps):
        row = row_of[job_id]
        owners[row.owner_id] += by
        remotes.update(dict.fromkeys(row.remotes, by))
        assert not 0 < per_user < owners[row.owner_id], (
            f"{owners[row.owner_id]} jobs of user {row.owner_id} run at {at:.2f}"
        )
        for remote in row.remotes:
            assert remotes[remote] <= per_remote.get(remote, math.inf), (
                f"{remotes[remote]} jobs use remote {remote} at {at:.2f}"
            )
