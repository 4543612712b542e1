"""The slots of a worker process: never more jobs than there are, and resumed ones first."""

from __future__ import annotations

from unittest.mock import Mock

from hypothesis import given
from hypothesis import strategies as st

from portal.worker.slots import JobSlot, Slots


def test_no_more_slots_are_given_than_there_are() -> None:
    freed = Mock()
    slots = Slots(2, freed)
    one, other = slots.take(), slots.take()
    assert one is not None
    assert other is not None
    assert slots.take() is None
    one.release()
    assert freed.call_count == 1
    one.release()
    assert freed.call_count == 1, "it had none any more"
    assert slots.take() is not None
    assert slots.take() is None


def test_resumed_jobs_come_before_new_ones_and_in_their_order() -> None:
    slots = Slots(1, Mock())
    first = taken(slots)
    first.release()
    second = taken(slots)
    second.release()
    third = taken(slots)
    assert not second.regain()
    assert not first.regain()
    third.release()
    assert slots.take() is None, "two resumed jobs wait"
    assert not first.regain(), "the other one has asked before"
    assert second.regain()
    second.release()
    assert first.regain()
    assert first.regain(), "asked again it still has it"


def test_job_that_ends_while_it_waits_for_a_slot_keeps_none_from_others() -> None:
    freed = Mock()
    slots = Slots(1, freed)
    paused = taken(slots)
    paused.release()
    other = taken(slots)
    assert not paused.regain()
    other.release()
    assert slots.take() is None
    paused.release()
    assert freed.call_count == 3
    assert slots.take() is not None


def taken(slots: Slots) -> JobSlot:
    slot = slots.take()
    assert slot is not None
    return slot


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("nrg"), st.integers(0, 7))))
def test_held_slots_never_exceed_their_number(number: int, acts: list[tuple[str, int]]) -> None:
    slots, jobs = Slots(number, Mock()), list[JobSlot]()
    for act, index in acts:
        if act == "n":
            new = slots.take()
            jobs += [new] if new is not None else []
        elif jobs and act == "r":
            jobs[index % len(jobs)].release()
        elif jobs:
            jobs[index % len(jobs)].regain()
        assert sum(job.held for job in jobs) <= number
    for job in jobs:
        job.release()
    assert [slots.take() is not None for _ in range(number + 1)] == [True] * number + [False]
