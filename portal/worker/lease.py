"""The lease of a worker whose jobs another worker may take."""

from __future__ import annotations

from dataclasses import dataclass

from portal import engine
from portal.worker.timing import Timing


@dataclass(slots=True)
class Lease:
    """``worker_id``: the row of the worker process. ``watchdog``: ends the worker's rclone if the
    worker itself no longer can."""

    worker_id: int
    timing: Timing
    watchdog: engine.Watchdog
