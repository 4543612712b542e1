"""The rules of the product that the simulation runs by, and that tests make wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from portal.transfers.scheduling import Load, QueuedJob, next_job
from portal.worker.timing import Timing

Choose = Callable[[Iterable[QueuedJob], Load], QueuedJob | None]


@dataclass(frozen=True, slots=True)
class Rules:
    timing: Timing = field(default_factory=Timing)
    choose: Choose = next_job
    #: Whether a change by a worker asks for its attempt.
    checks_attempt: bool = True
    #: Whether a claim asks again for limits and places, beside the look before it.
    claims_within_limits: bool = True
    claims_alone: bool = True
    #: Whether a sweep notices that the database's clock was set.
    mistrusts_clocks: bool = True
    #: Whether what deletes stays interrupted.
    spares_what_deletes: bool = True
    #: Whether a worker looks at the queue although no message came.
    looks_by_itself: bool = True


PRODUCT = Rules()
