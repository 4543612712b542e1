"""Turns at slow work: shared fairly between people, however much one of them asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Seconds between two looks whether somebody who waits is still there.
_LOOK_EVERY = 0.25


def never() -> bool:
    return False


class NoTurn(Exception):
    """There was no turn in time. ``own``: because of the person's own turns."""

    def __init__(self, *, own: bool) -> None:
        super().__init__()
        self.own = own


@dataclass(frozen=True, slots=True)
class Limits:
    """``total``: turns at a time; ``each``: of one person. The last ``spare`` ones of the total are
    for people who have none. ``waiting``: how many of one person may wait for theirs."""

    total: int
    each: int
    spare: int
    waiting: int


class Turn:
    """``begun`` is set once it is this turn's time."""

    __slots__ = ("begun", "person")

    def __init__(self, person: Hashable) -> None:
        self.person = person
        self.begun = threading.Event()


class FairTurns:
    """A turn that ends makes room for the person with the fewest, and among these for who has
    waited longest."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._running: set[Turn] = set()
        #: The oldest first.
        self._waiting: list[Turn] = []

    @contextmanager
    def turn(
        self, person: Hashable, *, seconds: float, is_gone: Callable[[], bool] = never
    ) -> Iterator[None]:
        """Waits at most ``seconds``, and no longer than the person does. Raises NoTurn."""
        turn = self.ask(person)
        if turn is None:
            raise NoTurn(own=True)
        try:
            if not _has_begun(turn, seconds, is_gone):
                raise NoTurn(own=self._number(person) >= self._limits.each)
            yield
        finally:
            self.end(turn)

    def ask(self, person: Hashable) -> Turn | None:
        """Returns a turn that has begun or waits, and has to be ended in any case. Returns None if
        too many of this person wait already."""
        with self._lock:
            turn = Turn(person)
            self._waiting.append(turn)
            self._begin_next()
            waiting = sum(one.person == person for one in self._waiting)
            if waiting > self._limits.waiting:
                self._waiting.remove(turn)
                return None
            return turn

    def end(self, turn: Turn) -> None:
        """Harmless if it has ended already."""
        with self._lock:
            self._running.discard(turn)
            if turn in self._waiting:
                self._waiting.remove(turn)
            self._begin_next()

    def _begin_next(self) -> None:
        while may_begin := [turn for turn in self._waiting if self._has_room(turn.person)]:
            # The first of several with as few.
            turn = min(may_begin, key=lambda one: self._number(one.person))
            self._waiting.remove(turn)
            self._running.add(turn)
            turn.begun.set()

    def _has_room(self, person: Hashable) -> bool:
        has, free = self._number(person), self._limits.total - len(self._running)
        return has < self._limits.each and free > (self._limits.spare if has else 0)

    def _number(self, person: Hashable) -> int:
        return sum(turn.person == person for turn in tuple(self._running))


def _has_begun(turn: Turn, seconds: float, is_gone: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not turn.begun.wait(min(_LOOK_EVERY, max(0.0, until - time.monotonic()))):
        if time.monotonic() >= until or is_gone():
            return False
    return True
