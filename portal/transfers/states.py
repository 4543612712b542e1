"""The life of a job: its statuses, which may follow which, and how each is shown. One table."""

from dataclasses import dataclass
from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class StateView:
    label: str
    icon: str
    tone: str
    followers: frozenset[JobStatus]


_S = JobStatus
STATES: dict[JobStatus, StateView] = {
    _S.QUEUED: StateView("Queued", "queued", "secondary", frozenset({_S.RUNNING, _S.CANCELLED})),
    _S.RUNNING: StateView(
        "Running",
        "running",
        "blue",
        frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLING, _S.INTERRUPTED, _S.QUEUED}),
    ),
    _S.CANCELLING: StateView("Cancelling", "cancelling", "orange", frozenset({_S.CANCELLED})),
    _S.INTERRUPTED: StateView(
        "Interrupted", "interrupted", "yellow", frozenset({_S.QUEUED, _S.FAILED, _S.CANCELLED})
    ),
    _S.COMPLETED: StateView("Completed", "completed", "green", frozenset()),
    _S.FAILED: StateView("Failed", "failed", "red", frozenset()),
    _S.CANCELLED: StateView("Cancelled", "cancelled", "secondary", frozenset()),
}

ACTIVE = (_S.RUNNING, _S.CANCELLING)
FINAL = (_S.COMPLETED, _S.FAILED, _S.CANCELLED)
#: How the jobs of the history ended. ``INTERRUPTED`` is an end only of what deletes, see
#: ``goes_on``; a person may still cancel it.
ENDINGS = (*FINAL, _S.INTERRUPTED)
CANCELLABLE = (_S.QUEUED, _S.RUNNING, _S.INTERRUPTED)
RETRYABLE = (_S.FAILED, _S.CANCELLED, _S.INTERRUPTED)


class Operation(StrEnum):
    COPY = "copy"
    SYNC = "sync"
    MOVE = "move"
    CHECK = "check"

    @property
    def deletes(self) -> bool:
        """Whether it removes files somewhere: then only a person may start it again."""
        return self in (Operation.SYNC, Operation.MOVE)


def goes_on(status: str, operation: str) -> bool:
    """Whether anything more happens to a job by itself. One that deletes is not begun again."""
    waits = status == JobStatus.INTERRUPTED and Operation(operation).deletes
    return JobStatus(status) not in FINAL and not waits


#: How often an interrupted copy or check goes back to the queue without a person.
MAX_INTERRUPTIONS = 3


def may_follow(old: JobStatus, new: JobStatus) -> bool:
    return new in STATES[old].followers
