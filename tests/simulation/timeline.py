"""Virtual time: what is to happen, in its order; and processes that freeze, thaw and die."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from random import Random

Step = Callable[[], object]


class Timeline:
    """``now``: seconds, as every process counts them. One clock for all machines is enough: each
    only measures how long something took."""

    def __init__(self, random: Random) -> None:
        self.now = 0.0
        self.random = random
        self._next: list[tuple[float, int, Step]] = []
        self._number = 0
        #: What happened, for people; None to write nothing down.
        self.story: list[str] | None = None

    def after(self, seconds: float, step: Step) -> None:
        self._number += 1
        heapq.heappush(self._next, (self.now + seconds, self._number, step))

    def advance(self) -> None:
        """Goes on to the next step, and takes it."""
        self.now, _, step = heapq.heappop(self._next)
        step()

    def between(self, least: float, most: float) -> float:
        return least + (most - least) * self.random.random()

    def chance(self, of: float) -> bool:
        return of > 0.0 and self.random.random() < of

    def tell(self, *words: object) -> None:
        if self.story is not None:
            self.story.append(f"{self.now:8.2f}  {' '.join(map(str, words))}")


class Process:
    """A process of the portal. While it is frozen its steps wait; when it dies they are lost."""

    def __init__(self, timeline: Timeline, name: str) -> None:
        self.timeline = timeline
        self.name = name
        self.alive = False
        self.frozen = False
        #: Until when this process does not reach the database.
        self.offline_until = 0.0
        self._life = 0
        self._waiting: list[Step] = []

    def after(self, seconds: float, step: Step) -> None:
        self.timeline.after(seconds, partial(self._take, self._life, step))

    def _take(self, life: int, step: Step) -> None:
        if life != self._life:
            return
        if self.frozen:
            self._waiting.append(step)
        else:
            step()

    def every(self, seconds: float, step: Step) -> None:
        def again() -> None:
            step()
            self.after(seconds, again)

        self.after(seconds * self.timeline.random.random(), again)

    def freeze(self) -> None:
        self.timeline.tell(self.name, "is frozen")
        self.frozen = True

    def thaw(self) -> None:
        """Its threads go on in any order."""
        self.timeline.tell(self.name, "is thawed")
        self.frozen = False
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            self.after(self.timeline.between(0.0, 0.2), step)

    def thaw_if_frozen(self) -> None:
        if self.frozen:
            self.thaw()

    def revive(self) -> None:
        """Starts it again if it is dead."""
        if not self.alive:
            self.start()

    def start(self) -> None:
        self.alive = True

    def kill(self) -> None:
        self.timeline.tell(self.name, "is dead")
        self._life += 1
        self.alive = self.frozen = False
        self._waiting.clear()
