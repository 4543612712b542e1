"""The events of each job in the order of ``seq``, whichever process they come from.

Each change of a job raises its ``seq`` by one and is one event, so that a gap tells of an event
that is still under way: what comes after it waits a moment for it. Then it is given up, for its
process may be gone; a page sees the gap too, and fetches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from portal.transfers.states import STATES, JobStatus

#: For how long an event waits for older ones of its job.
PATIENCE = 0.25
#: Jobs that are remembered; the one unheard of for longest is forgotten.
MOST = 10_000
_OVER = -1
_FINAL = frozenset(status for status in JobStatus if not STATES[status].followers)


class JobEvent(NamedTuple):
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
        """Progress that something newer has overtaken is worth nothing; a change of status is."""
        return self.event != "job_progress"


def is_of_a_job(payload: object) -> bool:
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("job_id"), int)
        and isinstance(payload.get("seq"), int)
    )


class Order:
    """``deliver`` gets the events; ``later`` calls something after so many seconds."""

    def __init__(
        self,
        deliver: Callable[[JobEvent], None],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._deliver = deliver
        self._later = later
        self._last: OrderedDict[int, int] = OrderedDict()  # seq of the newest delivered, or _OVER
        self._held: dict[int, dict[int, JobEvent]] = {}

    def take(self, event: JobEvent) -> None:
        job = event.payload["job_id"]
        last = self._last.get(job, 0)
        if last == _OVER:
            return  # nothing follows a final status
        if event.seq > last + 1:
            self._hold(job, event)
            return
        if event.seq == last + 1 or event.may_be_late:
            self._let_out(job, event)
        self._follow(job)

    def _hold(self, job: int, event: JobEvent) -> None:
        held = self._held.get(job)
        if held is None:
            held = self._held[job] = {}
            self._later(PATIENCE, partial(self._give_up, job, held))
        held[event.seq] = event

    def _give_up(self, job: int, held: dict[int, JobEvent]) -> None:
        if self._held.get(job) is not held:
            return  # the gap was filled, and this is perhaps another one
        del self._held[job]
        for seq in sorted(held):
            if self._last.get(job) != _OVER:
                self._let_out(job, held[seq])

    def _follow(self, job: int) -> None:
        """Lets out what waited for the event that has just been."""
        held = self._held.get(job, {})
        while (event := held.pop(self._last.get(job, 0) + 1, None)) is not None:
            self._let_out(job, event)
        if not held or self._last.get(job) == _OVER:
            self._held.pop(job, None)

    def _let_out(self, job: int, event: JobEvent) -> None:
        self._last[job] = _OVER if event.is_final else max(event.seq, self._last.get(job, 0))
        self._last.move_to_end(job)
        if len(self._last) > MOST:
            self._last.popitem(last=False)
        self._deliver(event)
