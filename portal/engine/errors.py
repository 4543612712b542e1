"""The one error of the engine."""

from __future__ import annotations


class EngineError(Exception):
    """rclone cannot be run at all; `reason` is a sentence for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
