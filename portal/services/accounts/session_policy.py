"""For how long a session is good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class SessionPolicy:
    idle: timedelta = timedelta(hours=8)
    longest: timedelta = timedelta(hours=24)
    remembered: timedelta = timedelta(days=14)
    #: Screens on a wall: nobody touches them, and they may only watch.
    viewers_idle: bool = False
    #: A session of these roles is no good if a password alone began it.
    second_step: frozenset[str] = frozenset()

    def demands_second_step(self, role: str) -> bool:
        return role in self.second_step
