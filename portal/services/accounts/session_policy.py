"""How long a session is good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class SessionPolicy:
    idle: timedelta = timedelta(hours=8)
    longest: timedelta = timedelta(hours=24)
    remembered: timedelta = timedelta(days=14)
    #: Whether viewers may stay idle: nobody touches a screen on a wall, and it may only watch.
    viewers_idle: bool = False
    #: Roles that need a second factor: a session that began with a password alone is not good for
    #: them.
    second_step: frozenset[str] = frozenset()

    def demands_second_step(self, role: str) -> bool:
        return role in self.second_step
