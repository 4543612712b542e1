"""Publishes on a thread of its own: no request waits for Redis or fails because of it."""

from __future__ import annotations

import atexit
import secrets
import threading
import time
from collections import deque
from contextlib import suppress

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.realtime.bus.messages import (
    MAX_LENGTH,
    IgnoredMessages,
    Kind,
    Message,
    channel,
    encode,
    join_messages,
)
from portal.runtime.context import current

log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 1.0
#: Messages that wait while Redis is away. Beyond that the oldest are dropped, and every page is
#: told to fetch again.
_MAX_WAITING = 1000
_BATCH = 100
#: How long progress waits for more progress: receiving five messages in one list costs little more
#: than one. Any other event is sent at once, together with the waiting ones.
_GATHER_SECONDS = 0.1
_MAY_WAIT = frozenset({"job_progress"})


class Publisher:
    def __init__(self, url: str) -> None:
        self.origin = secrets.token_hex(8)
        self._redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),  # this class retries by itself
        )
        self._channel = channel(self._redis.get_connection_kwargs().get("db") or 0)
        self._ignored = current()[IgnoredMessages]
        self._waiting: deque[bytes] = deque()
        self._lost = False
        self._wake = threading.Event()  # a message waits
        self._urgent = threading.Event()  # and must not wait for more
        self._closing = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._broken_since: float | None = None

    @property
    def broken(self) -> bool:
        """Whether publishing fails at the moment."""
        return self._broken_since is not None

    def publish(
        self, kind: Kind, room: str = "", event: str = "", payload: dict[str, object] | None = None
    ) -> None:
        """Queues a message; returns at once. Messages leave in the order of the calls."""
        data = encode(Message(self.origin, kind, room, event, payload or {}))
        if len(data) > MAX_LENGTH - 2:  # its list adds two brackets
            self._ignored["too long to publish"] += 1
            log.error("a message is too long for the event bus", about=event, length=len(data))
            data = self._resync()
        while len(self._waiting) >= _MAX_WAITING:
            with suppress(IndexError):  # the thread has just sent it
                self._waiting.popleft()
            self._lost = True
        self._waiting.append(data)
        if event not in _MAY_WAIT:
            self._urgent.set()
        self._wake.set()
        self._start()

    def close(self) -> None:
        """Sends what still waits, for at most a second."""
        self._closing = True
        self._urgent.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
        atexit.unregister(self.close)

    def _start(self) -> None:
        # Started by the first message: most runs of the command line publish nothing.
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def _run(self) -> None:
        while not self._closing or (self._waiting and not self.broken):
            if not self._waiting and not self._lost:
                self._wake.wait()
            self._wake.clear()
            if self._waiting:  # otherwise it was woken for a message that was sent already
                self._urgent.wait(_GATHER_SECONDS)
            self._urgent.clear()
            if not self._send():
                time.sleep(_RETRY_SECONDS)

    def _send(self) -> bool:
        batch = list(self._waiting)[:_BATCH]
        lost, self._lost = self._lost, False
        pipeline = self._redis.pipeline(transaction=False)
        for data in join_messages([self._resync(), *batch] if lost else batch):
            pipeline.publish(self._channel, data)
        try:
            pipeline.execute()
        except redis.RedisError as error:
            self._lost |= lost
            self._fail(error)
            return False
        for data in batch:
            # Some may have been dropped meanwhile; then others are at the front.
            if self._waiting and self._waiting[0] is data:
                self._waiting.popleft()
        self._recover()
        return True

    def _resync(self) -> bytes:
        return encode(Message(self.origin, Kind.RESYNC))

    def _fail(self, error: redis.RedisError) -> None:
        self._ignored["not published"] += 1
        if self._broken_since is None:
            self._broken_since = time.monotonic()
            log.error("events cannot be published", reason=str(error))

    def _recover(self) -> None:
        if self._broken_since is not None:
            seconds = round(time.monotonic() - self._broken_since, 1)
            self._broken_since = None
            log.info("events are published again", seconds=seconds)
