"""Notifies workers of a waiting job by a Celery message that carries the job's id.

The message is only a hint: it may come twice, late or never. The row says whether there is
something to do.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterable
from typing import Any

import redis
import structlog
from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

TASK = "portal.run"
_QUEUE = "portal.jobs"
_SECONDS = 2.0
_END_SECONDS = 2.0
#: The header by which a waiting message names its job.
_JOB_ID = "job_id"
#: How many messages of the backlog are read at a time.
_AT_ONCE = 1_000
#: Errors that mean that Redis does not accept a message.
_UNDELIVERED = (OperationalError, redis.RedisError, OSError)


def queue_name(pool: str | None) -> str:
    return f"{_QUEUE}.{pool}" if pool else _QUEUE


def pool_of(name: str) -> str | None:
    return name.removeprefix(_QUEUE).removeprefix(".") or None


def _queue(name: str) -> Any:
    make: Any = Queue  # a class without types
    # No exchange: a queue without one needs no binding, which a wiped Redis would have forgotten.
    return make(name, exchange=None)


def celery_app(url: str, pools: list[str | None]) -> Celery:
    """``pools``: the pools whose messages this process takes; ``None`` is the default pool."""
    app = Celery("portal", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[_queue(queue_name(pool)) for pool in pools],
        task_default_queue=queue_name(None),
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        # Whoever reaches Redis could end workers by it, or have them do less.
        worker_enable_remote_control=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_connect_timeout": _SECONDS, "socket_keepalive": True},
    )
    return app


class JobNotifier:
    """Sends on a thread of its own, so the caller neither waits for Redis nor fails with it."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url, [None])
        self._app.conf.broker_transport_options["socket_timeout"] = _SECONDS
        self._redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=_SECONDS,
            socket_timeout=_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._waiting: queue.Queue[tuple[int, str | None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._send_forever, name="notifier", daemon=True)
        self._run_id: str | None = None
        self._failed = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits a moment for the messages that are still to be sent."""
        self._waiting.put(None)
        self._thread.join(_END_SECONDS)
        self._redis.close()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def notify(self, job_id: int, pool: str | None) -> None:
        # While Redis is unavailable, nothing is queued: the sweep notifies again for every waiting
        # job afterwards.
        if not self._failed:
            self._waiting.put((job_id, pool))

    def broker_restarted(self) -> bool:
        """Returns whether Redis answers and may have lost messages since the last call."""
        try:
            found: Any = self._redis.info("server")
        except redis.RedisError as error:
            if not self._failed:
                log.warning("Redis does not answer", error=str(error))
            self._failed = True
            return False
        known, self._run_id = self._run_id, str(found["run_id"])
        back = self._failed or known not in (None, self._run_id)
        self._failed = False
        return back

    def backlog(self, pool: str | None) -> set[int]:
        """Returns the ids of the jobs whose messages wait in the queue of a pool. Raises
        redis.RedisError."""
        name, first = queue_name(pool), 0
        found: set[int] = set()
        # New messages enter at the front and the oldest leave at the end, so none is missed.
        while batch := self._read(name, first):
            found.update(json.loads(message)["headers"].get(_JOB_ID, 0) for message in batch)
            first += len(batch)
        return found

    def is_empty(self, pool: str | None) -> bool:
        """Returns whether no message waits in the queue of a pool. Raises redis.RedisError."""
        length: Any = self._redis.llen(queue_name(pool))
        return int(length) == 0

    def deliver(self, job_ids: Iterable[int], pool: str | None) -> bool:
        """Sends in the caller's thread. Returns whether every message has arrived at Redis."""
        try:
            with self._app.connection_for_write() as connection:
                for job_id in job_ids:
                    self._send(connection, job_id, queue_name(pool))
        except _UNDELIVERED as error:
            log.warning("waiting jobs were not notified", error=str(error))
            self._failed = True
            return False
        return True

    def _read(self, name: str, first: int) -> list[bytes]:
        found: Any = self._redis.lrange(name, first, first + _AT_ONCE - 1)
        return list(found)

    def _send_forever(self) -> None:
        is_over = False
        while not is_over:
            # A connection of its own: those of Celery's pool wait for one another, and stay open.
            with self._app.connection_for_write() as connection:
                is_over = self._send_by(connection)

    def _send_by(self, connection: Any) -> bool:
        """Returns True if the notifier is stopped, False if the connection has failed."""
        while (wanted := self._waiting.get()) is not None:
            job_id, pool = wanted
            try:
                self._send(connection, job_id, queue_name(pool))
            except _UNDELIVERED as error:
                log.warning("a job was not notified", job=job_id, error=str(error))
                self._failed = True
                time.sleep(_SECONDS / 4)
                return False
        return True

    def _send(self, connection: Any, job_id: int, name: str) -> None:
        with self._app.amqp.Producer(connection, auto_declare=False) as producer:
            self._app.send_task(
                TASK,
                (job_id,),
                queue=name,
                producer=producer,
                headers={_JOB_ID: job_id},
                ignore_result=True,
                retry=False,
            )
