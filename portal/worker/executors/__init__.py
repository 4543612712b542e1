"""Who runs a job. An executor is rung with a job's id and sees to it that a worker executes it."""

from __future__ import annotations

from typing import Protocol


class Executor(Protocol):
    def start(self) -> None:
        """Takes back what a dead process left, then runs what is queued."""

    def ring(self, job_id: int, pool: str | None = None) -> None:
        """There is a job to run, for the workers of its pool. Ringing twice is harmless."""

    def stop(self) -> None:
        """Gives running jobs back to the queue; returns when no rclone is left."""

    def is_alive(self) -> bool:
        """Whether queued jobs are being run."""


class Idle:
    """Runs nothing: for the command line, whose process ends at once."""

    def start(self) -> None: ...

    def ring(self, job_id: int, pool: str | None = None) -> None: ...

    def stop(self) -> None: ...

    def is_alive(self) -> bool:
        return True
