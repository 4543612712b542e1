"""The events of a job, from whatever processes and however late, leave in the order of seq."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portal.realtime.bus import reorder_buffer
from portal.realtime.bus.reorder_buffer import JobEvent, Order

ROOM = "topic:x"


class Line:
    """An order whose clock the test turns."""

    def __init__(self) -> None:
        self.out: list[tuple[int, int]] = []
        self.payloads: list[dict[str, Any]] = []
        self._timers: list[Callable[[], None]] = []
        self.order = Order(self._deliver, lambda _seconds, act: self._timers.append(act))

    def _deliver(self, event: JobEvent) -> None:
        self.out.append((event.payload["job_id"], event.seq))
        self.payloads.append(event.payload)

    def progress(self, seq: int, job: int = 1) -> None:
        self.order.take(JobEvent(ROOM, "job_progress", {"job_id": job, "seq": seq}))

    def status(self, seq: int, new: str = "running", job: int = 1) -> None:
        payload = {"job_id": job, "seq": seq, "new_status": new}
        self.order.take(JobEvent(ROOM, "job_status_change", payload))

    def created(self, job: int = 1) -> None:
        self.order.take(JobEvent(ROOM, "job_created", {"job_id": job, "seq": 1}))

    def wait(self, timers: int | None = None) -> None:
        """Until whatever waits has waited long enough; or only what waited first."""
        due, self._timers = self._timers[:timers], self._timers[len(self._timers[:timers]) :]
        for act in due:
            act()

    @property
    def seqs(self) -> list[int]:
        return [seq for _, seq in self.out]


def test_events_in_order_leave_at_once() -> None:
    line = Line()
    line.created()
    line.status(2)
    line.progress(3)
    assert line.seqs == [1, 2, 3]


def test_status_change_waits_for_the_older_progress_of_another_process() -> None:
    line = Line()
    line.created()
    line.status(2)
    line.status(4, "cancelling")
    assert line.seqs == [1, 2]
    line.progress(3)
    assert line.seqs == [1, 2, 3, 4]


def test_status_change_waits_no_longer_than_its_patience() -> None:
    line = Line()
    line.created()
    line.status(3, "cancelled")
    line.wait()
    assert line.seqs == [1, 3]


def test_progress_that_was_overtaken_is_dropped() -> None:
    line = Line()
    line.created()
    line.progress(3)
    line.wait()
    line.progress(2)
    line.progress(3)
    assert line.seqs == [1, 3]


def test_status_change_that_was_overtaken_is_late_but_not_dropped() -> None:
    line = Line()
    line.created()
    line.progress(3)
    line.wait()
    line.status(2)
    assert line.seqs == [1, 3, 2]
    line.progress(4)
    assert line.seqs == [1, 3, 2, 4]


def test_nothing_of_a_job_leaves_after_its_final_status() -> None:
    for status in ("completed", "failed", "cancelled"):
        line = Line()
        line.created()
        line.status(3, status)
        line.progress(4)
        line.status(2)
        assert line.seqs == [1, 2, 3]
        line.wait()
        line.progress(5)
        line.status(6)
        assert line.seqs == [1, 2, 3]


def test_jobs_do_not_wait_for_each_other() -> None:
    line = Line()
    line.status(4, job=1)
    line.created(job=2)
    line.status(2, job=2)
    assert line.out == [(2, 1), (2, 2)]
    line.wait()
    assert line.out == [(2, 1), (2, 2), (1, 4)]


def test_gap_that_opens_later_is_waited_for_anew() -> None:
    line = Line()
    line.created()
    line.status(3)
    line.status(2)
    line.status(5)  # the timer of the first gap still runs
    line.wait(1)
    assert line.seqs == [1, 2, 3]
    line.status(4)
    assert line.seqs == [1, 2, 3, 4, 5]


def test_job_that_was_never_heard_of_is_taken_up_wherever_it_stands() -> None:
    line = Line()
    line.progress(57)
    line.progress(58)
    line.wait()
    line.progress(59)
    assert line.seqs == [57, 58, 59]


def test_memory_is_bounded_and_ends_with_the_jobs() -> None:
    line = Line()
    for job in range(reorder_buffer.MOST + 10):
        line.created(job)
        line.status(3, "cancelled", job)
    assert len(line.order._held) == reorder_buffer.MOST + 10
    line.wait()
    assert not line.order._held
    assert len(line.order._last) == reorder_buffer.MOST


EVENTS = st.lists(st.booleans(), min_size=1, max_size=12)


@given(EVENTS, st.randoms(use_true_random=False), st.booleans())
def test_whatever_order_they_come_in_every_event_leaves_in_order(
    kinds: list[bool], chance: Any, ends: bool
) -> None:
    line = Line()
    every: list[tuple[int, bool, str]] = [
        (seq, is_status, "running") for seq, is_status in enumerate(kinds, 1)
    ]
    if ends:
        every.append((len(every) + 1, True, "completed"))
    came = every.copy()
    chance.shuffle(came)
    for seq, is_status, new in came:
        line.status(seq, new) if is_status else line.progress(seq)
    assert line.seqs == [seq for seq, _, _ in every]  # nothing was lost, so nothing had to be


@given(EVENTS, st.randoms(use_true_random=False), st.data())
def test_whatever_is_late_nothing_follows_the_end_and_no_status_is_lost(
    kinds: list[bool], chance: Any, data: st.DataObject
) -> None:
    line = Line()
    end = len(kinds) + 1
    came = [*enumerate(kinds, 1), (end, True)]
    chance.shuffle(came)
    late = set()
    for seq, is_status in came:
        if line.seqs and line.seqs[-1] == end:
            late.add(seq)
        if not is_status:
            line.progress(seq)
        else:
            line.status(seq, "completed" if seq == end else "running")
        if data.draw(st.booleans()):
            line.wait()
    line.wait()
    assert line.seqs[-1] == end
    assert line.seqs.count(end) == 1
    statuses = {seq for seq, is_status in came if is_status} - late
    assert statuses <= set(line.seqs)
    progress = [seq for seq in line.seqs if seq not in statuses]
    assert progress == sorted(progress)
    for place, seq in enumerate(line.seqs):
        if seq in statuses:  # never before an older event that was there to be sent
            assert all(other > seq or other in statuses for other in line.seqs[place + 1 :])
