"""The times of leases.

Each must be shorter than the next, or two rclones could work on one destination: the heartbeat, the
worker giving up, its watchdog ending rclone, the rescue.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

#: Seconds that rclone gets to clean up when it is ended because of a lost lease.
GRACE = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """All times are in seconds."""

    #: Between two heartbeats of a job and of its worker.
    heartbeat: float = 5.0
    #: Without the database, until a worker gives up its jobs.
    max_offline: float = 30.0
    #: Since the last heartbeat, until the watchdog ends rclone.
    watchdog_timeout: float = 35.0
    #: Without a heartbeat, until a job is rescued.
    stalled_after: float = 45.0
    #: Between two sweeps, and between two looks of a worker at the queue that nobody has asked for.
    sweep: float = 5.0

    def scale(self, factor: float) -> Timing:
        """All times multiplied by one factor, for tests."""
        return Timing(*(getattr(self, field.name) * factor for field in fields(self)))
