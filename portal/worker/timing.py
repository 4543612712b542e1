"""The times of leases. Each is shorter than the next one of its chain, or two rclone could work on
one destination: heartbeat, the worker's own end of it, its watchdog's end of it, taking it back."""

from __future__ import annotations

from dataclasses import dataclass, fields

#: Seconds for which an rclone that is ended because of a lost lease may tidy up.
GRACE = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    #: Between two heartbeats of a job and of its worker.
    heartbeat: float = 5.0
    #: For which a worker rides on without having reached the database.
    ride: float = 30.0
    #: After the last heartbeat, when the watchdog ends rclone.
    watchdog: float = 35.0
    #: Without a heartbeat, after which a job is taken back.
    silent: float = 45.0
    #: Queued without anybody having taken it, after which it is rung for again.
    unheard: float = 60.0
    #: Between two sweeps.
    sweep: float = 5.0

    def scaled(self, factor: float) -> Timing:
        """The same relations, for tests."""
        return Timing(*(getattr(self, field.name) * factor for field in fields(self)))
