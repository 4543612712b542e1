"""Publishes on a thread of its own: an act neither waits for Redis nor fails with it."""

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
    LONGEST,
    Kind,
    Message,
    channel,
    encode,
    ignored,
    together,
)

log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
_LAST_SECONDS = 1.0
#: Messages that wait while Redis is gone. Of more than that the oldest are lost, and every page is
#: told that it may have missed something.
_MOST = 1000
_AT_ONCE = 100
#: For how long progress waits for more of it: who hears five in one go does little more than for
#: one. Anything else goes at once, and takes along what waits.
_GATHER_SECONDS = 0.1
_MAY_WAIT = frozenset({"job_progress"})


class Publisher:
    def __init__(self, url: str) -> None:
        self.origin = secrets.token_hex(8)
        self._redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the tries are ours
        )
        self._channel = channel(self._redis.get_connection_kwargs().get("db") or 0)
        self._waiting: deque[bytes] = deque()
        self._lost = False
        self._wake = threading.Event()  # something waits
        self._hurry = threading.Event()  # and may not wait for more
        self._closing = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._broken_since: float | None = None

    @property
    def broken(self) -> bool:
        """Nothing can be published at the moment."""
        return self._broken_since is not None

    def publish(
        self, kind: Kind, room: str = "", event: str = "", payload: dict[str, object] | None = None
    ) -> None:
        """In the order of the calls; returns at once."""
        data = encode(Message(self.origin, kind, room, event, payload or {}))
        if len(data) > LONGEST - 2:  # in a list of its own
            ignored["too long to publish"] += 1
            log.error("a message is too long for the queue", about=event, length=len(data))
            data = self._missed()
        while len(self._waiting) >= _MOST:
            with suppress(IndexError):  # sent in this very moment
                self._waiting.popleft()
            self._lost = True
        self._waiting.append(data)
        if event not in _MAY_WAIT:
            self._hurry.set()
        self._wake.set()
        self._start()

    def close(self) -> None:
        """Gives what waits a moment to leave."""
        self._closing = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)
        atexit.unregister(self.close)

    def _start(self) -> None:
        # Not before there is something to say: most runs of the command line have nothing.
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
            if self._waiting:  # else it was woken for what has just been sent
                self._hurry.wait(_GATHER_SECONDS)
            self._hurry.clear()
            if not self._send():
                time.sleep(_AGAIN_SECONDS)

    def _send(self) -> bool:
        batch = list(self._waiting)[:_AT_ONCE]
        lost, self._lost = self._lost, False
        pipeline = self._redis.pipeline(transaction=False)
        for data in together([self._missed(), *batch] if lost else batch):
            pipeline.publish(self._channel, data)
        try:
            pipeline.execute()
        except redis.RedisError as error:
            self._lost |= lost
            self._fail(error)
            return False
        for data in batch:
            # Some may have been pushed out meanwhile, in which case others stand first.
            if self._waiting and self._waiting[0] is data:
                self._waiting.popleft()
        self._mend()
        return True

    def _missed(self) -> bytes:
        return encode(Message(self.origin, Kind.MISSED))

    def _fail(self, error: redis.RedisError) -> None:
        ignored["not published"] += 1
        if self._broken_since is None:
            self._broken_since = time.monotonic()
            log.error("events cannot be published", reason=str(error))

    def _mend(self) -> None:
        if self._broken_since is not None:
            seconds = round(time.monotonic() - self._broken_since, 1)
            self._broken_since = None
            log.info("events are published again", seconds=seconds)
