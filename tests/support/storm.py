"""One fault after another, at random, upon two workers, Redis and PostgreSQL."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator

from tests.support.parts import Postgres, Redis
from tests.support.worker_process import WorkerProcess


class Storm:
    """``scale`` is that of the leases: a frozen worker sleeps for up to a minute of theirs."""

    def __init__(
        self,
        workers: list[WorkerProcess],
        postgres: Postgres,
        redis: Redis,
        *,
        seed: int,
        scale: float,
    ) -> None:
        self._workers = workers
        self._postgres = postgres
        self._redis = redis
        self._dice = random.Random(seed)  # noqa: S311 - chooses moments, not secrets
        self._scale = scale

    def faults(self) -> Iterator[str]:
        """Does one at a time, for ever, each kind in its turn; says which it was."""
        kinds = [self._kill, self._wipe, self._freeze, self._restart_database, self._stop]
        self._dice.shuffle(kinds)
        for kind in itertools.cycle(kinds):
            yield kind()

    def pause(self, least: float, most: float) -> None:
        time.sleep(self._dice.uniform(least, most))

    def _kill(self) -> str:
        victim = self._dice.choice(self._workers)
        victim.kill()
        victim.launch()
        return "a worker killed"

    def _stop(self) -> str:
        victim = self._dice.choice(self._workers)
        victim.stop()
        victim.launch()
        return "a worker stopped"

    def _freeze(self) -> str:
        victim = self._dice.choice(self._workers)
        victim.send(signal.SIGSTOP)
        seconds = self._dice.uniform(1, 60) * self._scale
        time.sleep(seconds)
        victim.send(signal.SIGCONT)
        return f"a worker frozen for {seconds:.0f} s"

    def _wipe(self) -> str:
        self._redis.kill()
        self.pause(0, 1)
        self._redis.start()
        return "Redis killed and wiped"

    def _restart_database(self) -> str:
        ends: list[tuple[str, Callable[[], None]]] = [
            ("PostgreSQL killed", self._postgres.kill),
            ("PostgreSQL stopped", self._postgres.stop),
        ]
        words, end = self._dice.choice(ends)
        end()
        self.pause(0, 1)
        self._postgres.start()
        return words
