"""One worker process of the scale-out mode, from its start to its orderly end."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state as celery_state

from portal import engine
from portal.db import migrate, session
from portal.db.instance_lock import DatabaseLock
from portal.errors import PortalError
from portal.realtime import publish
from portal.runtime import stopping
from portal.runtime.context import current
from portal.runtime.logging import say
from portal.services.runtime import keys_of, make_runtime
from portal.services.storage import key_agreement
from portal.services.workers import WorkerDirectives
from portal.settings import Settings, SettingsError
from portal.transfers.pools import DEFAULT_POOL
from portal.worker import Worker, roots
from portal.worker.dispatcher import Dispatcher
from portal.worker.executors import NullExecutor
from portal.worker.executors.celery import CeleryExecutor
from portal.worker.executors.notifier import TASK, celery_app
from portal.worker.lease import Lease
from portal.worker.registration import WorkerRegistration, this_process
from portal.worker.timing import GRACE, Timing

log = structlog.get_logger(__name__)

#: Two limits when this worker is stopped: seconds that rclone gets to clean up, and seconds that
#: the jobs get to be put back into the queue.
_GRACE = 4.0
_TIMEOUT = 8.5
#: Seconds between two checks of whether the process has to end.
_CHECK_INTERVAL = 0.1


class WorkerEnded(PortalError):
    """The worker ended although nobody asked it to."""


def run_worker(settings: Settings, pools: tuple[str, ...], concurrency: int | None) -> None:
    """Works until SIGTERM or SIGINT, or until it is drained. If it cannot go on, it puts its jobs
    back into the queue and raises WorkerEnded."""
    if not settings.scale_out:
        raise SettingsError(
            "PORTAL_REDIS_URL: a worker needs it, and PostgreSQL. Without them `portal run` "
            "runs the transfers itself, and no worker is needed."
        )
    stopping.install_handlers()
    settings.prepare()
    roots.look_at_roots(settings)
    try:
        engine.check_rclone(engine.rclone_path(settings.rclone))
    except engine.EngineError as error:
        raise SettingsError(f"PORTAL_RCLONE: {error}") from None
    lock = DatabaseLock(settings.database_url, alone=False)
    lock.acquire()
    migrate.refuse_older(settings)
    session.connect(settings.database_url)
    key_agreement.of_worker(keys_of(settings))
    current().put(make_runtime(settings, roots.open_to_transfers(settings), NullExecutor()))
    publish.connect_bus(settings.redis_url)
    stopping.raise_if_requested()
    _Process(settings, pools, concurrency or settings.max_running_jobs, lock).run()


class _Process:
    def __init__(
        self, settings: Settings, pools: tuple[str, ...], concurrency: int, lock: DatabaseLock
    ) -> None:
        timing = Timing().scale(settings.test_time_scale)
        self._settings = settings
        self._lock = lock
        self._slots = concurrency
        self._registration = WorkerRegistration(
            this_process(pools, concurrency),
            timing.heartbeat,
            self._apply,
            engine.KnownMounts(settings.data_dir, settings.transfer_roots).problems,
        )
        self._watchdog = engine.Watchdog(timing.watchdog_timeout, min(GRACE, timing.heartbeat))
        self._timing = timing
        self._executor = CeleryExecutor(settings)
        self._celery = celery_app(settings.redis_url)
        self._paused = False
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        self._dispatcher: Dispatcher | None = None
        self._consuming: Any = None
        self._fault: Exception | None = None

    def run(self) -> None:
        lease = Lease(self._registration.begin(), self._timing, self._watchdog)
        session.session.remove()
        self._watchdog.start()
        self._worker = Worker(
            self._settings,
            self._registration.process.name,
            grace=min(_GRACE, self._timing.heartbeat),
            lease=lease,
            look=self._executor.look,
        )
        names = self._registration.process.pools
        self._dispatcher = Dispatcher(
            self._worker,
            [None if name == DEFAULT_POOL else name for name in names],
            self._slots,
            self._timing.sweep,
        )
        self._executor.start()
        self._dispatcher.start()
        self._executor.look()  # there may be jobs of a dead predecessor for other workers
        consumer = threading.Thread(target=self._consume, name="celery", daemon=True)
        consumer.start()
        me = self._registration.process
        say(f"Worker {me.name}, pools: {', '.join(me.pools)}")
        ended = ""
        while not (ended or stopping.requested()) and not self._stopping.wait(_CHECK_INTERVAL):
            ended = self._what_ended(consumer)
        self._end(consumer, ended)

    def _what_ended(self, consumer: threading.Thread) -> str:
        """Returns a sentence about a part that has ended although it should not; empty while all
        run."""
        if self._lock.taken_by:
            return f"Another portal ({self._lock.taken_by}) has taken the database."
        # After a fault Celery waits for the running jobs, which must go back to the queue at once.
        if self._fault or not consumer.is_alive():
            return f"The Celery consumer has ended: {_repr(self._fault)}."
        if self._registration.is_removed:
            return "The portal has removed this worker, which was silent for too long."
        if not self._registration.is_alive:
            return "The heartbeat has ended; the log says why."
        if self._dispatcher is None or not self._dispatcher.is_alive():
            return "The dispatcher has ended; the log says why."
        if not self._executor.is_sweeping:
            return "The sweeper has ended; the log says why."
        if not self._executor.notifier.is_alive:
            return f"The notifier has ended: {_repr(self._executor.notifier.fault)}."
        return ""

    def _consume(self) -> None:
        look = self._look

        class LookWhenConnected(bootsteps.StartStopStep):
            """Messages that were sent while Redis was away are lost."""

            requires = ("celery.worker.consumer.tasks:Tasks",)

            def start(self, _consumer: Any) -> None:
                look()

        try:
            self._celery.task(name=TASK, ignore_result=True)(look)
            self._celery.steps["consumer"].add(LookWhenConnected)
            self._consuming = self._celery.WorkController(
                app=self._celery,
                hostname=f"portal@{self._registration.process.name.replace(':', '-')}",
                pool="solo",
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            )
            # Does what Celery's own start() does, but that one would swallow the reason of an end.
            self._consuming.blueprint.start(self._consuming)
        except SystemExit:
            log.info("takes no more jobs")
        except Exception as error:  # carried to the main thread, which ends the worker with it
            log.exception("the Celery consumer has failed")
            self._fault = error
        finally:
            if self._consuming is not None:
                self._consuming.stop()

    def _look(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.look()

    def _apply(self, directives: WorkerDirectives) -> None:
        if self._dispatcher is None or self._worker is None:
            return  # just started; the next heartbeat brings the directives again
        paused = directives.paused or directives.draining
        if paused != self._paused:
            self._paused = paused
            log.info("paused" if paused else "resumed", draining=directives.draining)
            self._dispatcher.pause(paused)
        if directives.draining and not self._worker.running:
            log.info("drained")
            self._stopping.set()

    def _end(self, consumer: threading.Thread, ended: str) -> None:
        log.info("stopping", reason=ended or "asked to")
        deadline = time.monotonic() + _TIMEOUT
        celery_state.should_stop = os.EX_OK
        if self._dispatcher is not None and self._worker is not None:
            self._dispatcher.stop()
            self._worker.stop()
            self._dispatcher.join(_TIMEOUT)
        # One that waits for a Redis that does not answer ends with the process.
        consumer.join(max(0.5, deadline - time.monotonic()))
        self._executor.look()
        self._executor.stop()
        self._registration.end()
        self._watchdog.close()
        self._lock.release()
        publish.connect_bus("")
        log.info("stopped")
        if ended:
            raise WorkerEnded(ended)


def _repr(fault: Exception | None) -> str:
    return repr(fault) if fault else "it gave no reason"
