"""The bell between web processes and workers: a Celery message that carries a job's id.

The message is only a hint. The row says whether there is something to do, so that a message may
come twice, late or never.
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
#: The header of a message by which its job is known while it waits.
_JOB_ID = "job_id"
#: Messages that are read at once.
_AT_ONCE = 1_000
#: What is raised while Redis does not take a message.
_UNDELIVERED = (OperationalError, redis.RedisError, OSError)


def queue_name(pool: str | None) -> str:
    return f"{_QUEUE}.{pool}" if pool else _QUEUE


def pool_of(name: str) -> str | None:
    return name.removeprefix(_QUEUE).removeprefix(".") or None


def _queue(name: str) -> Any:
    make: Any = Queue  # a class without types
    # No exchange: such a queue needs no binding, which a wiped Redis would have forgotten.
    return make(name, exchange=None)


def celery_app(url: str, pools: list[str | None]) -> Celery:
    """``pools`` are those whose bells it hears; ``None`` is the default one."""
    app = Celery("portal", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[_queue(queue_name(pool)) for pool in pools],
        task_default_queue=queue_name(None),
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
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


class Bell:
    """Rings on a thread of its own: who rings neither waits for Redis nor fails with it."""

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
        self._thread = threading.Thread(target=self._ring_forever, name="bell", daemon=True)
        self._run_id: str | None = None
        self._failed = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was rung before still goes out, if that is soon."""
        self._waiting.put(None)
        self._thread.join(_END_SECONDS)
        self._redis.close()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def ring(self, job_id: int, pool: str | None) -> None:
        if not self._failed:  # of what waits all is rung for when Redis is back
            self._waiting.put((job_id, pool))

    def came_back(self) -> bool:
        """Whether Redis answers and has lost what it held since this was last asked."""
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

    def hanging(self, pool: str | None) -> set[int]:
        """Ids of the jobs whose messages wait in the queue of a pool; raises redis.RedisError."""
        name, first = queue_name(pool), 0
        found: set[int] = set()
        # New ones come in at the front and the oldest leave at the end: none is passed over.
        while batch := self._read(name, first):
            found.update(json.loads(message)["headers"].get(_JOB_ID, 0) for message in batch)
            first += len(batch)
        return found

    def deliver(self, job_ids: Iterable[int], pool: str | None) -> bool:
        """Rings in the caller's thread; whether all has arrived at Redis."""
        try:
            with self._app.connection_for_write() as connection:
                for job_id in job_ids:
                    self._send(connection, job_id, queue_name(pool))
        except _UNDELIVERED as error:
            log.warning("waiting jobs were not rung for", error=str(error))
            self._failed = True
            return False
        return True

    def _read(self, name: str, first: int) -> list[bytes]:
        found: Any = self._redis.lrange(name, first, first + _AT_ONCE - 1)
        return list(found)

    def _ring_forever(self) -> None:
        is_over = False
        while not is_over:
            # One of its own: those of Celery's pool wait for one another, and stay open.
            with self._app.connection_for_write() as connection:
                is_over = self._ring_by(connection)

    def _ring_by(self, connection: Any) -> bool:
        """True at the end of all, False at the end of the connection."""
        while (wanted := self._waiting.get()) is not None:
            job_id, pool = wanted
            try:
                self._send(connection, job_id, queue_name(pool))
            except _UNDELIVERED as error:
                log.warning("a bell was not rung", job=job_id, error=str(error))
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
