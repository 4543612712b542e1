"""Asks the workers to look at the queue, by a Celery message to all of them.

The message says no more than "look": it may come twice, late or never. The database says what there
is to do.
"""

from __future__ import annotations

import threading
from typing import Any

import redis
import structlog
from celery import Celery
from kombu.common import Broadcast
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

TASK = "portal.look"
_EXCHANGE = "portal.look"
_SECONDS = 2.0
#: Seconds until a message that was not accepted is sent again.
_AGAIN = 0.5
#: Errors that mean that Redis does not accept a message.
_UNDELIVERED = (OperationalError, redis.RedisError, OSError)


def celery_app(url: str) -> Celery:
    app = Celery("portal", broker=url, set_as_current=False)
    broadcast: Any = Broadcast  # a class without types
    app.conf.update(
        task_queues=[broadcast(_EXCHANGE)],
        task_default_queue=_EXCHANGE,
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        # Whoever reaches Redis could end workers by it, or have them do less.
        worker_enable_remote_control=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_connect_timeout": _SECONDS, "socket_keepalive": True},
    )
    return app


class LookNotifier:
    """Sends on a thread of its own, so the caller neither waits for Redis nor fails with it. It is
    asked often: while one message is on its way, for one more."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url)
        self._app.conf.broker_transport_options["socket_timeout"] = _SECONDS
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        #: What ended it, if that was a fault.
        self.fault: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits a moment for the message that is still to be sent."""
        self._stopped.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(_SECONDS)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def look(self) -> None:
        self._wanted.set()

    def _run(self) -> None:
        try:
            self._send_forever()
        except Exception as error:  # whoever looks after the process ends it with this reason
            log.exception("the notifier has failed")
            self.fault = error

    def _send_forever(self) -> None:
        while not self._stopped.is_set():
            # A connection of its own: those of Celery's pool wait for one another, and stay open.
            with self._app.connection_for_write() as connection:
                self._send_by(connection)

    def _send_by(self, connection: Any) -> None:
        """Returns when the notifier is stopped, or when the connection has failed."""
        failed = False
        while not failed:
            self._wanted.wait()
            is_last = self._stopped.is_set()
            self._wanted.clear()
            try:
                self._send(connection)
            except _UNDELIVERED as error:
                log.warning("workers were not asked to look", error=str(error))
                failed = True
                self._wanted.set()
                self._stopped.wait(_AGAIN)
            if is_last:
                return

    def _send(self, connection: Any) -> None:
        with self._app.amqp.Producer(connection) as producer:
            # Declared by the sender too: Redis does not keep which exchanges go to everybody.
            self._app.send_task(
                TASK,
                queue=self._app.amqp.queues[_EXCHANGE],
                producer=producer,
                declare=[self._app.amqp.queues[_EXCHANGE].exchange],
                ignore_result=True,
                retry=False,
            )
