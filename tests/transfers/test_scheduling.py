"""Which job runs next: the rule alone, over queues of any shape."""

from __future__ import annotations

import random
from collections import Counter
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.transfers.scheduling import (
    Load,
    Obstacle,
    QueuedJob,
    Reason,
    candidates,
    group,
    in_order,
    next_job,
)


@st.composite
def queues(draw: st.DrawFn) -> list[QueuedJob]:
    number = draw(st.integers(0, 25))
    return [
        QueuedJob(
            job_id,
            owner_id=draw(st.integers(1, 4)),
            priority=draw(st.sampled_from([-1, 0, 0, 1])),
            first_try=draw(st.integers(1, job_id)),
            remotes=tuple(draw(st.sets(st.integers(1, 3), max_size=2))),
            paused=draw(st.sampled_from([False, False, False, True])),
            blocked=draw(st.sampled_from([False, False, False, True])),
        )
        for job_id in range(1, number + 1)
    ]


@st.composite
def loads(draw: st.DrawFn) -> Load:
    counts = st.dictionaries(st.integers(1, 4), st.integers(0, 3))
    return Load(
        owners=Counter(draw(counts)),
        remotes=Counter(draw(counts)),
        user_limit=draw(st.integers(0, 4)),
        remote_limits=draw(st.dictionaries(st.integers(1, 3), st.integers(1, 3))),
        slots=draw(st.integers(0, 6)),
    )


def copy_of(load: Load) -> Load:
    return Load(
        Counter(load.owners),
        Counter(load.remotes),
        load.user_limit,
        dict(load.remote_limits),
        load.slots,
    )


def fill(queue: list[QueuedJob], load: Load) -> list[QueuedJob]:
    """Starts jobs until none may."""
    waiting, begun = list(queue), []
    while (job := next_job(waiting, load)) is not None:
        load.start(job)
        waiting.remove(job)
        begun.append(job)
    return begun


def test_higher_priority_goes_before_fairness_and_fairness_before_age() -> None:
    old, fair, high = QueuedJob(1, 1), QueuedJob(2, 2), QueuedJob(3, 1, priority=1)
    load = Load(owners=Counter({1: 3}), slots=9)
    assert fill([old, fair, high], load) == [high, fair, old]


def test_oldest_goes_first_among_owners_who_have_as_many_running() -> None:
    jobs = [QueuedJob(5, 2), QueuedJob(4, 1), QueuedJob(6, 1)]
    assert fill(jobs, Load(slots=9)) == [jobs[1], jobs[0], jobs[2]]


def test_retry_is_as_old_as_its_first_try() -> None:
    retry, younger = QueuedJob(9, 1, first_try=1), QueuedJob(5, 1)
    assert fill([younger, retry], Load(slots=9)) == [retry, younger]


def test_one_owner_of_1500_jobs_stops_nobody() -> None:
    flood = [QueuedJob(number, 1) for number in range(1, 1501)]
    late = QueuedJob(2000, 2)
    load = Load(owners=Counter({1: 4}), slots=1)
    assert next_job([*flood, late], load) == late


@pytest.mark.parametrize(
    ("job", "load", "why"),
    [
        (QueuedJob(1, 1, paused=True, blocked=True), Load(), Obstacle(Reason.PAUSED)),
        (QueuedJob(1, 1, blocked=True), Load(slots=0), Obstacle(Reason.DESTINATION)),
        (
            QueuedJob(1, 1, remotes=(7,)),
            Load(owners=Counter({1: 2}), user_limit=2, slots=0),
            Obstacle(Reason.USER_LIMIT),
        ),
        (
            QueuedJob(1, 1, remotes=(8, 7)),
            Load(remotes=Counter({7: 2}), remote_limits={7: 2, 8: 1}, slots=0),
            Obstacle(Reason.REMOTE_LIMIT, 7),
        ),
        (QueuedJob(1, 1), Load(slots=0), Obstacle(Reason.SLOT)),
        (QueuedJob(1, 1), Load(slots=1), None),
        (QueuedJob(1, 1), Load(owners=Counter({1: 3}), user_limit=2), Obstacle(Reason.USER_LIMIT)),
    ],
)
def test_first_reason_that_applies_is_given(
    job: QueuedJob, load: Load, why: Obstacle | None
) -> None:
    assert load.obstacle(job) == why
    assert (next_job([job], load) is None) == (why is not None)


@given(queues(), loads())
@settings(deadline=None)
def test_no_limit_is_exceeded_and_nobody_waits_who_may_run(
    queue: list[QueuedJob], load: Load
) -> None:
    before = copy_of(load)
    begun = fill(queue, load)
    assert load.slots == before.slots - len(begun) >= min(0, before.slots)
    for owner, running in load.owners.items():
        if load.user_limit:
            assert running <= max(load.user_limit, before.owners[owner])
    for remote, most in load.remote_limits.items():
        assert load.remotes[remote] <= max(most, before.remotes[remote])
    for job in queue:
        if job not in begun:
            assert load.obstacle(job) is not None
        else:
            assert (job.paused, job.blocked) == (False, False)


@given(queues(), loads(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_the_rows_makes_no_difference(
    queue: list[QueuedJob], load: Load, chance: random.Random
) -> None:
    shuffled = list(queue)
    chance.shuffle(shuffled)
    assert fill(queue, copy_of(load)) == fill(shuffled, copy_of(load))
    assert list(in_order(group(queue), load)) == list(in_order(group(shuffled), load))


@given(queues(), loads())
@settings(deadline=None)
def test_next_one_has_the_highest_priority_then_the_least_busy_owner_then_the_greatest_age(
    queue: list[QueuedJob], load: Load
) -> None:
    def rank(job: QueuedJob) -> tuple[int, int, tuple[int, int]]:
        return -job.priority, load.owners[job.owner_id], job.age

    free = [job for job in queue if load.obstacle(job) is None]
    assert next_job(queue, load) == min(free, key=rank, default=None)


@given(queues(), loads(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_every_job_of_one_priority_runs_at_last_although_others_come(
    queue: list[QueuedJob], load: Load, chance: random.Random
) -> None:
    """Nobody starves: as many jobs come as end, of any owner, and none of those that waited
    is overtaken for ever."""
    waiting = [job._replace(priority=0, paused=False, blocked=False) for job in queue]
    old, running = set(waiting), []
    load = Load(user_limit=load.user_limit, remote_limits=load.remote_limits, slots=2)
    number = 1000
    for _ in range(20 + 8 * len(waiting)):
        while (job := next_job(waiting, load)) is not None:
            load.start(job)
            waiting.remove(job)
            running.append(job)
            old.discard(job)
        if running:
            ended = running.pop(0)
            load.owners[ended.owner_id] -= 1
            load.remotes.subtract(set(ended.remotes))
            load.slots += 1
        number += 1
        waiting.append(QueuedJob(number, chance.randint(1, 4)))
    assert old == set()


@given(queues(), loads())
@settings(deadline=None)
def test_order_in_which_they_will_run_is_that_in_which_they_begin_when_nothing_holds_them_up(
    queue: list[QueuedJob], load: Load
) -> None:
    free = [job._replace(paused=False, blocked=False, remotes=()) for job in queue]
    load = Load(owners=load.owners, slots=1000)
    shown = list(in_order(group(free), load))
    assert shown == fill(free, load)


@pytest.mark.exclusive
def test_choosing_among_10_000_queued_jobs_takes_at_most_5_ms() -> None:
    chance = random.Random(3)  # noqa: S311 - no secret
    jobs = [
        QueuedJob(
            number,
            chance.randint(1, 50),
            chance.choice([-1, 0, 0, 0, 1]),
            blocked=chance.random() < 0.2,
        )
        for number in range(1, 10_001)
    ]
    load = Load(owners=Counter({owner: owner % 5 for owner in range(1, 51)}), user_limit=3)
    groups = group(jobs)  # as the database keeps them, see ``services.jobs.scheduler``
    began = process_time()
    for _ in range(10):
        chosen = next(job for job in candidates(groups, load) if not load.obstacle(job))
    assert (process_time() - began) / 10 <= 0.005
    assert chosen == next_job(jobs, load)
