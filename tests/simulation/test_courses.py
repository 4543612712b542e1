"""Thousands of courses keep every rule; and a rule made wrong on purpose is noticed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from portal.transfers.scheduling import Load, QueuedJob, next_job
from portal.worker.timing import Timing
from tests.simulation.rules import PRODUCT, Rules
from tests.simulation.world import Failed, replay, run

#: Four parts, so that processes share them.
COURSES, PARTS = 5_000, 4


@pytest.mark.parametrize("part", range(PARTS))
def test_every_course_keeps_every_rule(part: int) -> None:
    size = COURSES // PARTS
    for seed in range(part * size, (part + 1) * size):
        run(seed)


def without_limits(jobs: Iterable[QueuedJob], load: Load) -> QueuedJob | None:
    load.user_limit, load.remote_limits = 0, {}
    return next_job(jobs, load)


def without_places(jobs: Iterable[QueuedJob], load: Load) -> QueuedJob | None:
    return next_job([job._replace(blocked=False) for job in jobs], load)


def nobody_of_user_2(jobs: Iterable[QueuedJob], load: Load) -> QueuedJob | None:
    return next_job([job for job in jobs if job.owner_id != 2], load)


def with_times(**wrong: float) -> Rules:
    return replace(PRODUCT, timing=replace(Timing(), **wrong))


WRONG: Mapping[str, tuple[Rules, str]] = {
    "watchdog later than the rescue": (
        with_times(watchdog_timeout=60.0, max_offline=58.0),
        "two rclones|its claim from",
    ),
    "lease longer than the rescue": (
        with_times(stalled_after=12.0),
        "two rclones|its claim from",
    ),
    "attempt not asked for": (
        replace(PRODUCT, checks_attempt=False),
        "two rclones|its claim from|did not end once|has attempt",
    ),
    "limits in no claim": (
        replace(PRODUCT, claims_within_limits=False),
        "jobs of user|jobs use remote",
    ),
    "limits nowhere": (
        replace(PRODUCT, claims_within_limits=False, choose=without_limits),
        "jobs of user|jobs use remote",
    ),
    "places of others nowhere": (
        replace(PRODUCT, claims_alone=False, choose=without_places),
        "use one place",
    ),
    "policy that forgets a user": (
        replace(PRODUCT, choose=nobody_of_user_2),
        "go on for ever",
    ),
    "clock of the database trusted": (
        replace(PRODUCT, mistrusts_clocks=False),
        "two rclones|its claim from",
    ),
    "jobs that delete begun again": (
        replace(PRODUCT, spares_what_deletes=False),
        "begun again by itself",
    ),
    "worker that only waits for messages": (
        replace(PRODUCT, looks_by_itself=False),
        "may run since",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_rule_that_is_wrong_is_noticed(fault: str) -> None:
    rules, words = WRONG[fault]
    told = failure_of(rules)
    assert re.search(words, told.rpartition("\n")[2]), told


def test_course_is_the_same_again_for_its_seed() -> None:
    assert replay(4711) == replay(4711)
    assert replay(4711) != replay(4712)
    assert replay(4711).endswith("all is well")


def test_failure_names_the_seed_and_tells_the_story() -> None:
    rules, _ = WRONG["limits nowhere"]
    told = failure_of(rules)
    seed = int(told.split()[1])
    assert replay(seed, rules) in told
    assert "is made: user" in told


def failure_of(rules: Rules) -> str:
    """Returns the story of the first course that fails; empty if none does."""
    for seed in range(600):
        try:
            run(seed, rules)
        except Failed as failed:
            return str(failed)
    return ""
