"""The executor of the scale-out mode: rings a bell, and sees to it that nothing is forgotten."""

from __future__ import annotations

import threading
from collections import defaultdict

import redis
import structlog

from portal import worker
from portal.db.session import reason
from portal.settings import Settings
from portal.worker.executors.notifier import Bell

log = structlog.get_logger(__name__)

#: Seconds between two looks at Redis.
_GLANCE = 1.0
#: Seconds that a sweep which is under way gets to end.
_END_SECONDS = 2.0


class Doorbell:
    """Runs nothing itself; its workers are other processes. Every web and every worker process has
    one, so that the sweep goes on as long as any of them lives."""

    def __init__(self, settings: Settings) -> None:
        self._timing = worker.Timing().scaled(settings.test_time_scale)
        self._bell = Bell(settings.redis_url)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sweep_forever, name="sweep", daemon=True)

    def start(self) -> None:
        self._bell.start()
        self._thread.start()

    def ring(self, job_id: int, pool: str | None = None) -> None:
        self._bell.ring(job_id, pool)

    def stop(self) -> None:
        """A sweep that waits for a database without an answer is left behind; its connection is
        closed when the engine is disposed of, or with the process."""
        self._stopped.set()
        # Before the bell closes the connection to Redis, from which the sweep may just be reading.
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)
        self._bell.stop()

    def is_alive(self) -> bool:
        return self._thread.is_alive() and self._bell.is_alive

    def _sweep_forever(self) -> None:
        next_sweep, forgotten = 0.0, True
        while not self._stopped.is_set():
            forgotten |= self._bell.came_back()
            moment = worker.elapsed()
            if forgotten or moment >= next_sweep:
                next_sweep = moment + self._timing.sweep
                forgotten = not self._sweep(forgotten)
            self._stopped.wait(min(_GLANCE, self._timing.sweep))

    def _sweep(self, everything: bool) -> bool:
        """Whether it could be done."""
        try:
            waiting = worker.sweep(self._timing, everything=everything)
        except worker.DatabaseAway as away:
            log.warning("no sweep", error=reason(away))
            return False
        by_pool: dict[str | None, list[int]] = defaultdict(list)
        for one in waiting:
            by_pool[one.pool].append(one.job_id)
        for pool, ids in by_pool.items():
            if not self._notify(pool, ids):
                return not everything
        return True

    def _notify(self, pool: str | None, ids: list[int]) -> bool:
        """Sees to it that a message for each of these jobs waits in Redis, and notes it then. Who
        dies in between leaves them due; none gets a second message while its first waits."""
        try:
            hanging = self._bell.hanging(pool)
            if not self._bell.deliver([one for one in ids if one not in hanging], pool):
                return False
            worker.note_notified(ids)
        except redis.RedisError as error:
            log.warning("the queue was not read", error=str(error))
            return False
        except worker.DatabaseAway as away:
            log.warning("it was not noted who was rung for", error=reason(away))
            return False
        return True
