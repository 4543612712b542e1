"""Executors make workers run what is queued."""

from __future__ import annotations


class NullExecutor:
    """Runs nothing: for the command line, whose process ends at once."""

    def start(self) -> None: ...

    def look(self) -> None: ...

    def stop(self) -> None: ...

    def is_alive(self) -> bool:
        return True
