"""Receives what other processes publish, and knows when it may have missed something."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.realtime.bus.messages import IgnoredMessages, Message, Unreadable, channel, decode
from portal.runtime.context import current

log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
#: The library waits up to a minute between two attempts, and pages would be late for as long.
_RETRY_SECONDS = 1.0
#: Seconds of silence after which the connection is pinged. Without an answer for as long again, it
#: is given up.
_SILENCE_SECONDS = 5.0
#: Messages handled in a row, before other threads of this process run.
_BATCH = 20


class Subscriber:
    """``on_message`` is called with each message of another process. ``on_status`` is called with
    False when the connection broke and the first attempt to reconnect failed, and with True each
    time it is subscribed again."""

    def __init__(
        self,
        url: str,
        *,
        origin: str,
        on_message: Callable[[Message], None],
        on_status: Callable[[bool], None],
    ) -> None:
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            # Only until it is subscribed: `get_message` has a timeout of its own, which is no
            # error.
            socket_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),  # a silent reconnect would hide a gap
        )
        self._channel = channel(self._redis.get_connection_kwargs().get("db") or 0)
        self._ignored = current()[IgnoredMessages]
        self._origin = origin
        self._on_message = on_message
        self._on_status = on_status
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self._subscribed = False
        self._reported: bool | None = None
        self._ending = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends within a few seconds; messages that arrive until then are still delivered."""
        self._ending = True

    @property
    def disconnected(self) -> bool:
        return not self._subscribed or not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending:
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if not self._ending:
                    self._handle_break(str(error))

    def _handle_break(self, reason: str) -> None:
        was_subscribed, self._subscribed = self._subscribed, False
        if was_subscribed:
            return  # tries again at once: nobody has to notice a short break
        if self._reported is not False:
            log.error("events of other processes do not arrive", reason=reason)
            self._report(False)
        # Jitter, so that not all processes reconnect at the same moment.
        time.sleep(_RETRY_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311

    def _listen(self) -> None:
        with self._redis.pubsub() as subscription:
            subscription.subscribe(self._channel)
            pinged = False
            number = 0
            while not self._ending:
                message = subscription.get_message(timeout=_SILENCE_SECONDS)
                if message is None:
                    if pinged:
                        raise redis.TimeoutError("no answer")
                    subscription.ping()
                pinged = message is None
                if message is not None:
                    self._take(message)
                number += 1
                if number % _BATCH == 0:
                    time.sleep(0)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._subscribed = True
            if self._reported is False:
                log.info("events of other processes arrive again")
            self._report(True)
        elif message["type"] == "message":
            self._read(message["data"])

    def _read(self, data: bytes) -> None:
        try:
            messages = decode(data)
        except Unreadable as error:
            self._ignored[str(error)] += 1
            return
        for message in messages:
            if message.origin != self._origin:
                self._on_message(message)

    def _report(self, connected: bool) -> None:
        self._reported = connected
        self._on_status(connected)
