"""The error of the engine."""

from __future__ import annotations


class EngineError(Exception):
    """rclone cannot be run at all; `reason` is a sentence for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Abandoned(EngineError):
    """Nobody waits for the answer any more, so rclone was ended. What it had done is not known."""

    def __init__(self) -> None:
        super().__init__("The question was given up: nobody waits for the answer.")
