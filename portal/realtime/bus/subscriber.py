"""Hears what other processes publish, and knows when it may have missed something."""

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

from portal.realtime.bus.messages import (
    Message,
    Unreadable,
    channel,
    decode,
    ignored,
)

log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
#: The stock client waits up to a minute between its tries; pages would be late for as long.
_AGAIN_SECONDS = 1.0
#: Silence after which the line is tried; no answer for as long, and it is given up.
_SILENCE_SECONDS = 5.0
#: Messages in one go, before others of this process have their turn.
_AT_ONCE = 20


class Listener:
    """``heard`` gets each message of another process; ``stands`` is told when the line broke and
    could not be mended at once (False), and whenever it stands anew (True)."""

    def __init__(
        self,
        url: str,
        *,
        origin: str,
        heard: Callable[[Message], None],
        stands: Callable[[bool], None],
    ) -> None:
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            # For the first words alone: reading has a limit of its own, which is no error.
            socket_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),  # a line mended behind our back would hide a gap
        )
        self._channel = channel(self._redis.get_connection_kwargs().get("db") or 0)
        self._origin = origin
        self._heard = heard
        self._stands = stands
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._subscribed = False
        self._reported: bool | None = None
        self._ending = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Within a few seconds; what is heard until then still counts."""
        self._ending = True

    @property
    def deaf(self) -> bool:
        return not self._subscribed or not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending:
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if not self._ending:
                    self._broke(str(error))

    def _broke(self, reason: str) -> None:
        lasted, self._subscribed = self._subscribed, False
        if lasted:
            return  # once more at once: a short break is none that anybody need see
        if self._reported is not False:
            log.error("events of other processes are not heard", reason=reason)
            self._report(False)
        # Not all processes in the same moment.
        time.sleep(_AGAIN_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311

    def _listen(self) -> None:
        with self._redis.pubsub() as line:
            line.subscribe(self._channel)
            asked = False
            number = 0
            while not self._ending:
                message = line.get_message(timeout=_SILENCE_SECONDS)
                if message is None:
                    if asked:
                        raise redis.TimeoutError("no answer")
                    line.ping()
                asked = message is None
                if message is not None:
                    self._take(message)
                number += 1
                if number % _AT_ONCE == 0:
                    time.sleep(0)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._subscribed = True
            if self._reported is False:
                log.info("events of other processes are heard again")
            self._report(True)
        elif message["type"] == "message":
            self._read(message["data"])

    def _read(self, data: bytes) -> None:
        try:
            messages = decode(data)
        except Unreadable as error:
            ignored[str(error)] += 1
            return
        for message in messages:
            if message.origin != self._origin:
                self._heard(message)

    def _report(self, stands: bool) -> None:
        self._reported = stands
        self._stands(stands)
