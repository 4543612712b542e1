"""The events of a job, from whatever processes and however late, leave in the order of seq."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portal.realtime.bus import reorder_buffer
from portal.realtime.bus.reorder_buffer import OrderedEvent, ReorderBuffer

ROOM = "topic:x"


class Buffered:
    """A reorder buffer whose timers the test fires."""

    def __init__(self) -> None:
        self.out: list[tuple[int, int]] = []
        self.payloads: list[dict[str, Any]] = []
        self._timers: list[Callable[[], None]] = []
        self.buffer = ReorderBuffer(self._deliver, lambda _seconds, act: self._timers.append(act))

    def _deliver(self, event: OrderedEvent) -> None:
        self.out.append((event.payload["job_id"], event.seq))
        self.payloads.append(event.payload)

    def progress(self, seq: int, job: int = 1) -> None:
        self.buffer.add(OrderedEvent(ROOM, "job_progress", {"job_id": job, "seq": seq}))

    def status(self, seq: int, new: str = "running", job: int = 1) -> None:
        payload = {"job_id": job, "seq": seq, "new_status": new}
        self.buffer.add(OrderedEvent(ROOM, "job_status_change", payload))

    def created(self, job: int = 1) -> None:
        self.buffer.add(OrderedEvent(ROOM, "job_created", {"job_id": job, "seq": 1}))

    def wait(self, timers: int | None = None) -> None:
        """Fires all timers, or the first ``timers`` of them."""
        due, self._timers = self._timers[:timers], self._timers[len(self._timers[:timers]) :]
        for act in due:
            act()

    @property
    def seqs(self) -> list[int]:
        return [seq for _, seq in self.out]


def test_events_in_order_leave_at_once() -> None:
    buffered = Buffered()
    buffered.created()
    buffered.status(2)
    buffered.progress(3)
    assert buffered.seqs == [1, 2, 3]


def test_status_change_waits_for_the_older_progress_of_another_process() -> None:
    buffered = Buffered()
    buffered.created()
    buffered.status(2)
    buffered.status(4, "cancelling")
    assert buffered.seqs == [1, 2]
    buffered.progress(3)
    assert buffered.seqs == [1, 2, 3, 4]


def test_status_change_waits_no_longer_than_its_patience() -> None:
    buffered = Buffered()
    buffered.created()
    buffered.status(3, "cancelled")
    buffered.wait()
    assert buffered.seqs == [1, 3]


def test_progress_that_was_overtaken_is_dropped() -> None:
    buffered = Buffered()
    buffered.created()
    buffered.progress(3)
    buffered.wait()
    buffered.progress(2)
    buffered.progress(3)
    assert buffered.seqs == [1, 3]


def test_status_change_that_was_overtaken_is_late_but_not_dropped() -> None:
    buffered = Buffered()
    buffered.created()
    buffered.progress(3)
    buffered.wait()
    buffered.status(2)
    assert buffered.seqs == [1, 3, 2]
    buffered.progress(4)
    assert buffered.seqs == [1, 3, 2, 4]


def test_nothing_of_a_job_leaves_after_its_final_status() -> None:
    for status in ("completed", "failed", "cancelled"):
        buffered = Buffered()
        buffered.created()
        buffered.status(3, status)
        buffered.progress(4)
        buffered.status(2)
        assert buffered.seqs == [1, 2, 3]
        buffered.wait()
        buffered.progress(5)
        buffered.status(6)
        assert buffered.seqs == [1, 2, 3]


def test_jobs_do_not_wait_for_each_other() -> None:
    buffered = Buffered()
    buffered.status(4, job=1)
    buffered.created(job=2)
    buffered.status(2, job=2)
    assert buffered.out == [(2, 1), (2, 2)]
    buffered.wait()
    assert buffered.out == [(2, 1), (2, 2), (1, 4)]


def test_gap_that_opens_later_is_waited_for_again() -> None:
    buffered = Buffered()
    buffered.created()
    buffered.status(3)
    buffered.status(2)
    buffered.status(5)  # the timer of the first gap still runs
    buffered.wait(1)
    assert buffered.seqs == [1, 2, 3]
    buffered.status(4)
    assert buffered.seqs == [1, 2, 3, 4, 5]


def test_job_that_was_never_heard_of_is_taken_up_wherever_it_stands() -> None:
    buffered = Buffered()
    buffered.progress(57)
    buffered.progress(58)
    buffered.wait()
    buffered.progress(59)
    assert buffered.seqs == [57, 58, 59]


def test_memory_is_bounded_and_ends_with_the_jobs() -> None:
    buffered = Buffered()
    for job in range(reorder_buffer.MAX_JOBS + 10):
        buffered.created(job)
        buffered.status(3, "cancelled", job)
    assert len(buffered.buffer._waiting) == reorder_buffer.MAX_JOBS + 10
    buffered.wait()
    assert not buffered.buffer._waiting
    assert len(buffered.buffer._last) == reorder_buffer.MAX_JOBS


EVENTS = st.lists(st.booleans(), min_size=1, max_size=12)


@given(EVENTS, st.randoms(use_true_random=False), st.booleans())
def test_whatever_order_they_come_in_every_event_leaves_in_order(
    kinds: list[bool], chance: Any, ends: bool
) -> None:
    buffered = Buffered()
    every: list[tuple[int, bool, str]] = [
        (seq, is_status, "running") for seq, is_status in enumerate(kinds, 1)
    ]
    if ends:
        every.append((len(every) + 1, True, "completed"))
    came = every.copy()
    chance.shuffle(came)
    for seq, is_status, new in came:
        buffered.status(seq, new) if is_status else buffered.progress(seq)
    assert buffered.seqs == [seq for seq, _, _ in every]  # nothing was lost, so nothing had to be


@given(EVENTS, st.randoms(use_true_random=False), st.data())
def test_whatever_is_late_nothing_follows_the_end_and_no_status_is_lost(
    kinds: list[bool], chance: Any, data: st.DataObject
) -> None:
    buffered = Buffered()
    end = len(kinds) + 1
    came = [*enumerate(kinds, 1), (end, True)]
    chance.shuffle(came)
    late = set()
    for seq, is_status in came:
        if buffered.seqs and buffered.seqs[-1] == end:
            late.add(seq)
        if not is_status:
            buffered.progress(seq)
        else:
            buffered.status(seq, "completed" if seq == end else "running")
        if data.draw(st.booleans()):
            buffered.wait()
    buffered.wait()
    assert buffered.seqs[-1] == end
    assert buffered.seqs.count(end) == 1
    statuses = {seq for seq, is_status in came if is_status} - late
    assert statuses <= set(buffered.seqs)
    progress = [seq for seq in buffered.seqs if seq not in statuses]
    assert progress == sorted(progress)
    for place, seq in enumerate(buffered.seqs):
        if seq in statuses:  # never before an older event that was there to be sent
            assert all(other > seq or other in statuses for other in buffered.seqs[place + 1 :])
