"""Which queued job runs next, and why each of the others waits. Pure rules, for every database and
both modes.

Of the jobs that may run: a higher priority first; then the owner with the fewest running jobs; then
the oldest. A retry is as old as the job that was tried first.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Priority(IntEnum):
    LOW = -1
    NORMAL = 0
    HIGH = 1


class Reason(StrEnum):
    """Why a job waits: the first that applies."""

    PAUSED = "paused"
    NO_WORKER = "no_worker"
    #: Another job writes to the same place, or to a place that this one reads.
    DESTINATION = "destination"
    USER_LIMIT = "user_limit"
    REMOTE_LIMIT = "remote_limit"
    SLOT = "slot"


class QueuedJob(NamedTuple):
    """``first_try``: the first job of its chain of retries, or itself. ``remotes``: ids of the
    storages at its ends. ``blocked``: whether its place has to be left to another job."""

    job_id: int
    owner_id: int
    priority: int = 0
    first_try: int = 0
    remotes: tuple[int, ...] = ()
    paused: bool = False
    blocked: bool = False

    @property
    def age(self) -> tuple[int, int]:
        """Smaller for an older job."""
        return self.first_try or self.job_id, self.job_id


class Obstacle(NamedTuple):
    """``remote_id``: the storage whose limit is reached."""

    reason: Reason
    remote_id: int | None = None


@dataclass(slots=True)
class Load:
    """What runs now, by owner and by remote, and what may run at most. ``user_limit``: 0 for no
    limit; ``remote_limits``: only of remotes that have one. ``slots``: how many are free."""

    owners: Counter[int] = field(default_factory=Counter)
    remotes: Counter[int] = field(default_factory=Counter)
    user_limit: int = 0
    remote_limits: Mapping[int, int] = field(default_factory=dict)
    slots: int = 1

    def start(self, job: QueuedJob) -> None:
        """Counts a job that begins to run."""
        self.owners[job.owner_id] += 1
        self.remotes.update(set(job.remotes))
        self.slots -= 1

    def without(self, job: QueuedJob) -> Load:
        """Returns the load without this job, which it counts."""
        owners = self.owners - Counter({job.owner_id: 1})
        return replace(self, owners=owners, remotes=self.remotes - Counter(set(job.remotes)))

    @property
    def full_remotes(self) -> frozenset[int]:
        return frozenset(
            remote for remote, most in self.remote_limits.items() if self.remotes[remote] >= most
        )

    def is_at_limit(self, owner_id: int) -> bool:
        return 0 < self.user_limit <= self.owners[owner_id]

    def obstacle(self, job: QueuedJob) -> Obstacle | None:
        """Returns why the job may not run even if it is the next one; None if it may."""
        if job.paused:
            return Obstacle(Reason.PAUSED)
        if job.blocked:
            return Obstacle(Reason.DESTINATION)
        if self.is_at_limit(job.owner_id):
            return Obstacle(Reason.USER_LIMIT)
        full = self.full_remotes.intersection(job.remotes) if job.remotes else ()
        if full:
            return Obstacle(Reason.REMOTE_LIMIT, min(full))
        return None if self.slots > 0 else Obstacle(Reason.SLOT)


#: One owner's jobs of one priority, the oldest first, by (priority, owner).
Groups = Mapping[tuple[int, int], Iterable[QueuedJob]]


def group(jobs: Iterable[QueuedJob]) -> dict[tuple[int, int], list[QueuedJob]]:
    groups: dict[tuple[int, int], list[QueuedJob]] = defaultdict(list)
    for job in jobs:
        groups[job.priority, job.owner_id].append(job)
    for own in groups.values():
        own.sort(key=lambda job: job.age)
    return groups


def next_job(jobs: Iterable[QueuedJob], load: Load) -> QueuedJob | None:
    """Returns the job that is to begin now; None if all have to wait."""
    return next((job for job in candidates(group(jobs), load) if not load.obstacle(job)), None)


def candidates(groups: Groups, load: Load) -> Iterator[QueuedJob]:
    """Yields the jobs in the order in which they are to be tried for one free slot. An iterable
    of ``groups`` is read no further than it is needed."""
    return _merged(groups, load.owners, as_if_started=0)


def in_order(groups: Groups, load: Load) -> Iterator[QueuedJob]:
    """Yields the jobs in the order in which they will run if nothing holds one up: each that has
    begun counts as running for its owner."""
    return _merged(groups, load.owners, as_if_started=1)


def _merged(groups: Groups, running: Mapping[int, int], as_if_started: int) -> Iterator[QueuedJob]:
    ahead: Counter[int] = Counter()
    queue: list[tuple[int, int, tuple[int, int], QueuedJob, Iterator[QueuedJob]]] = []

    def push(jobs: Iterator[QueuedJob]) -> None:
        if (job := next(jobs, None)) is not None:
            level = running.get(job.owner_id, 0) + ahead[job.owner_id]
            heapq.heappush(queue, (-job.priority, level, job.age, job, jobs))

    for jobs in groups.values():
        push(iter(jobs))
    while queue:
        rank, level, age, job, jobs = heapq.heappop(queue)
        now = running.get(job.owner_id, 0) + ahead[job.owner_id]
        if level != now:  # jobs of a higher priority of the same owner came before
            heapq.heappush(queue, (rank, now, age, job, jobs))
            continue
        yield job
        ahead[job.owner_id] += as_if_started
        push(jobs)
