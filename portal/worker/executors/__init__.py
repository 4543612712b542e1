"""Executors start jobs: they are notified of a job's id and make sure that a worker runs it."""

from __future__ import annotations


class NullExecutor:
    """Runs nothing: for the command line, whose process ends at once."""

    def start(self) -> None: ...

    def notify(self, job_id: int, pool: str | None = None) -> None: ...

    def stop(self) -> None: ...

    def is_alive(self) -> bool:
        return True
