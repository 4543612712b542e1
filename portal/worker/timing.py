"""The times of leases. Each must be shorter than the next, or two rclone could work on one
destination: the heartbeat, the worker giving up, its watchdog ending rclone, the rescue."""

from __future__ import annotations

from dataclasses import dataclass, fields

#: Seconds for which an rclone that is ended because of a lost lease may tidy up.
GRACE = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    #: Between two heartbeats of a job and of its worker.
    heartbeat: float = 5.0
    #: Without the database, after which a worker gives up its jobs.
    max_offline: float = 30.0
    #: After the last heartbeat, when the watchdog ends rclone.
    watchdog_timeout: float = 35.0
    #: Without a heartbeat, after which a job is rescued.
    stalled_after: float = 45.0
    #: Queued without a claim, after which workers are notified again.
    renotify_after: float = 60.0
    #: Between two sweeps.
    sweep: float = 5.0

    def scaled(self, factor: float) -> Timing:
        """All times multiplied by one factor, for tests."""
        return Timing(*(getattr(self, field.name) * factor for field in fields(self)))
