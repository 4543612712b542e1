"""What a worker needs where another one may take its jobs."""

from __future__ import annotations

from dataclasses import dataclass

from portal import engine
from portal.worker.timing import Timing


@dataclass(slots=True)
class Lease:
    """``worker_id`` is the row of the worker process; ``watchdog`` ends its rclone when it can
    no longer do so itself."""

    worker_id: int
    timing: Timing
    watchdog: engine.Watchdog
