"""The executor of the scale-out mode: notifies workers, and makes sure that no job is forgotten."""

from __future__ import annotations

import threading
from collections import defaultdict

import redis
import structlog

from portal.db.clock import elapsed
from portal.db.session import AWAY, reason, session
from portal.services import workers
from portal.services.jobs import rescue
from portal.services.jobs.blocking import PendingJob
from portal.settings import Settings
from portal.worker.executors.notifier import JobNotifier
from portal.worker.timing import Timing

log = structlog.get_logger(__name__)

#: Seconds between two checks of Redis.
_REDIS_INTERVAL = 1.0
#: Sweeps within which a worker that has taken a message claims its job, however slow names resolve.
_CLAIM_SWEEPS = 3
#: Seconds that a running sweep gets to end.
_END_SECONDS = 2.0


class CeleryExecutor:
    """Runs nothing itself, because its workers are other processes. Every web and every worker
    process has one, so the sweep goes on as long as any of them lives."""

    def __init__(self, settings: Settings) -> None:
        self._timing = Timing().scale(settings.test_time_scale)
        self._notifier = JobNotifier(settings.redis_url)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sweep_forever, name="sweep", daemon=True)

    def start(self) -> None:
        self._notifier.start()
        self._thread.start()

    def notify(self, job_id: int, pool: str | None = None) -> None:
        self._notifier.notify(job_id, pool)

    def stop(self) -> None:
        """Leaves a sweep behind that waits for an unresponsive database; its connection is closed
        when the engine is disposed of, or with the process."""
        self._stopped.set()
        # Before the notifier closes the connection to Redis, from which the sweep may be reading.
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)
        self._notifier.stop()

    def is_alive(self) -> bool:
        return self._thread.is_alive() and self._notifier.is_alive

    def _sweep_forever(self) -> None:
        next_sweep, notify_all = 0.0, True
        while not self._stopped.is_set():
            notify_all |= self._notifier.broker_restarted()
            moment = elapsed()
            if notify_all or moment >= next_sweep:
                next_sweep = moment + self._timing.sweep
                notify_all = not self._sweep(notify_all)
            self._stopped.wait(min(_REDIS_INTERVAL, self._timing.sweep))

    def _sweep(self, everything: bool) -> bool:
        """Returns False if the sweep failed, for all jobs or for some."""
        try:
            waiting = self._rescue(everything)
        except AWAY as away:
            log.warning("no sweep", error=reason(away))
            return False
        except redis.RedisError as error:
            log.warning("the queue was not read", error=str(error))
            return False
        finally:
            session.remove()
        by_pool: dict[str | None, list[int]] = defaultdict(list)
        for one in waiting:
            by_pool[one.pool].append(one.job_id)
        for pool, ids in by_pool.items():
            if not self._notify(pool, ids):
                return not everything
        return True

    def _rescue(self, everything: bool) -> list[PendingJob]:
        """Rescues stalled jobs; returns the jobs that are due for a message, or all that wait."""
        waiting = rescue.sweep(self._timing.stalled_after, self._timing.renotify_after)
        workers.watch()
        if everything:
            return rescue.all_queued()
        # Workers take a message only for a free slot: one that nobody has taken and that does not
        # wait in Redis either was lost there.
        lost = rescue.unclaimed(_CLAIM_SWEEPS * self._timing.sweep, self._notifier.is_empty)
        return waiting + [one for one in lost if one not in waiting]

    def _notify(self, pool: str | None, ids: list[int]) -> bool:
        """Puts a message for each of these jobs into Redis unless one waits there already, then
        notes that they have one. If this process dies in between, the jobs stay due, and the next
        sweep finds the message: no job gets a second one."""
        try:
            backlog = self._notifier.backlog(pool)
            if not self._notifier.deliver([one for one in ids if one not in backlog], pool):
                return False
            rescue.note_notified(ids)
        except redis.RedisError as error:
            log.warning("the queue was not read", error=str(error))
            return False
        except AWAY as away:
            log.warning("it was not noted which jobs were notified", error=reason(away))
            return False
        finally:
            session.remove()
        return True
