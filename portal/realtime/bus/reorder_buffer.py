"""Delivers the events of each job in the order of ``seq``, whichever process they come from.

Each change of a job raises its ``seq`` by one and is one event. A gap therefore means that an event
is still on its way, and later events wait a moment for it. Then the missing event is given up,
because its process may have died; a page sees the gap too, and fetches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from portal.transfers.states import STATES, JobStatus

#: Seconds for which an event waits for older ones of its job.
MAX_WAIT = 0.25
#: Jobs that are remembered; the one without an event for longest is forgotten.
MAX_JOBS = 10_000
_ENDED = -1
_FINAL = frozenset(status for status in JobStatus if not STATES[status].followers)


class OrderedEvent(NamedTuple):
    room: str
    event: str
    payload: dict[str, Any]

    @property
    def seq(self) -> int:
        seq: int = self.payload["seq"]
        return seq

    @property
    def is_final(self) -> bool:
        return self.payload.get("new_status") in _FINAL

    @property
    def may_be_late(self) -> bool:
        """A change of status still matters after a newer event; progress does not."""
        return self.event != "job_progress"


def is_of_a_job(payload: object) -> bool:
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("job_id"), int)
        and isinstance(payload.get("seq"), int)
    )


class ReorderBuffer:
    """``deliver`` gets each event in order; ``later`` calls a function after some seconds."""

    def __init__(
        self,
        deliver: Callable[[OrderedEvent], None],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._deliver = deliver
        self._later = later
        self._last: OrderedDict[int, int] = OrderedDict()  # newest seq delivered, or _ENDED
        self._waiting: dict[int, dict[int, OrderedEvent]] = {}

    def add(self, event: OrderedEvent) -> None:
        job = event.payload["job_id"]
        last = self._last.get(job, 0)
        if last == _ENDED:
            return  # nothing follows a final status
        if event.seq > last + 1:
            self._wait(job, event)
            return
        if event.seq == last + 1 or event.may_be_late:
            self._deliver_now(job, event)
        self._deliver_next(job)

    def _wait(self, job: int, event: OrderedEvent) -> None:
        waiting = self._waiting.get(job)
        if waiting is None:
            waiting = self._waiting[job] = {}
            self._later(MAX_WAIT, partial(self._give_up, job, waiting))
        waiting[event.seq] = event

    def _give_up(self, job: int, waiting: dict[int, OrderedEvent]) -> None:
        if self._waiting.get(job) is not waiting:
            return  # that gap was filled; these wait for another one
        del self._waiting[job]
        for seq in sorted(waiting):
            if self._last.get(job) != _ENDED:
                self._deliver_now(job, waiting[seq])

    def _deliver_next(self, job: int) -> None:
        """Delivers the events that waited for the one just delivered."""
        waiting = self._waiting.get(job, {})
        while (event := waiting.pop(self._last.get(job, 0) + 1, None)) is not None:
            self._deliver_now(job, event)
        if not waiting or self._last.get(job) == _ENDED:
            self._waiting.pop(job, None)

    def _deliver_now(self, job: int, event: OrderedEvent) -> None:
        self._last[job] = _ENDED if event.is_final else max(event.seq, self._last.get(job, 0))
        self._last.move_to_end(job)
        if len(self._last) > MAX_JOBS:
            self._last.popitem(last=False)
        self._deliver(event)
