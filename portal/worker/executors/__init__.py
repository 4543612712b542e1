"""Executors start jobs: they are notified of a job's id and make sure that a worker runs it."""

from __future__ import annotations

from typing import Protocol


class Executor(Protocol):
    def start(self) -> None:
        """Rescues the jobs that a dead process left, then runs what is queued."""

    def notify(self, job_id: int, pool: str | None = None) -> None:
        """Tells the workers of the pool that a job waits. Notifying twice does no harm."""

    def stop(self) -> None:
        """Puts running jobs back into the queue; returns when no rclone is left."""

    def is_alive(self) -> bool:
        """Whether queued jobs are being run."""


class NullExecutor:
    """Runs nothing: for the command line, whose process ends at once."""

    def start(self) -> None: ...

    def notify(self, job_id: int, pool: str | None = None) -> None: ...

    def stop(self) -> None: ...

    def is_alive(self) -> bool:
        return True
