"""Turns are shared fairly, whoever asks most: never above the limits, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portal.runtime.fair_turns import FairTurns, Limits, NoTurn, Turn
from tests.support.waiting import wait_for

LIMITS = Limits(total=4, each=2, spare=1, waiting=3)
PEOPLE = ("alice", "bob", "bella", "charlie", "dora")
ANYBODY = st.sampled_from(PEOPLE)


class Sharing(RuleBasedStateMachine):
    """Beside the real turns: who should have one, by the words of the rule."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = FairTurns(LIMITS)
        self.running: list[Turn] = []
        self.waiting: list[Turn] = []

    def has(self, person: object) -> int:
        return sum(turn.person == person for turn in self.running)

    def room_for(self, person: object) -> bool:
        free = LIMITS.total - len(self.running)
        return self.has(person) < LIMITS.each and free > (LIMITS.spare if self.has(person) else 0)

    def move_up(self) -> None:
        while able := [turn for turn in self.waiting if self.room_for(turn.person)]:
            fewest = min(self.has(turn.person) for turn in able)
            oldest = next(turn for turn in able if self.has(turn.person) == fewest)
            self.waiting.remove(oldest)
            self.running.append(oldest)

    @rule(person=ANYBODY)
    def ask(self, person: str) -> None:
        waits = sum(turn.person == person for turn in self.waiting)
        turn = self.turns.ask(person)
        if turn is None:
            assert waits == LIMITS.waiting
            assert not self.room_for(person)
            return
        self.waiting.append(turn)
        self.move_up()

    @precondition(lambda self: self.running or self.waiting)
    @rule(chosen=st.integers(0, 100), again=st.booleans())
    def end(self, chosen: int, again: bool) -> None:
        turns = [*self.running, *self.waiting]
        turn = turns[chosen % len(turns)]
        for _ in range(1 + again):
            self.turns.end(turn)
        (self.running if turn in self.running else self.waiting).remove(turn)
        self.move_up()

    @invariant()
    def those_have_begun_who_should(self) -> None:
        assert all(turn.begun.is_set() for turn in self.running)
        assert not any(turn.begun.is_set() for turn in self.waiting)

    @invariant()
    def nobody_is_above_a_limit(self) -> None:
        assert len(self.running) <= LIMITS.total
        assert all(
            number <= LIMITS.each for number in Counter(t.person for t in self.running).values()
        )

    @invariant()
    def no_turn_is_free_that_somebody_without_one_waits_for(self) -> None:
        if len(self.running) < LIMITS.total:
            assert all(self.has(turn.person) for turn in self.waiting)


TestSharing = Sharing.TestCase


@given(st.lists(ANYBODY, max_size=30), st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_person_without_a_turn_gets_one_though_the_others_never_stop_asking(
    crowd: list[str], ends: list[int]
) -> None:
    turns = FairTurns(LIMITS)
    theirs = [turn for person in crowd if (turn := turns.ask(person))]
    late = turns.ask("late")
    assert late is not None
    older = sum(not turn.begun.is_set() for turn in theirs)
    ended = 0
    while not late.begun.is_set():
        running = [turn for turn in theirs if turn.begun.is_set()]
        over = running[ends[ended % len(ends)] % len(running)]
        turns.end(over)
        theirs.remove(over)
        ended += 1
        theirs += [turn for person in PEOPLE if (turn := turns.ask(person))]
    assert ended <= older + 1, "who asks later is behind"


def test_last_turns_are_never_all_those_of_people_who_have_some() -> None:
    turns = FairTurns(Limits(total=8, each=2, spare=2, waiting=4))
    for person in PEOPLE[:4] * 8:
        turns.ask(person)
    assert all(turn and turn.begun.is_set() for turn in [turns.ask("new")])


def test_wait_ends_in_time_and_says_whose_turns_are_in_the_way() -> None:
    turns = FairTurns(Limits(total=3, each=2, spare=0, waiting=1))
    with turns.turn("bob", seconds=1), turns.turn("bob", seconds=1):
        begun = time.monotonic()
        with pytest.raises(NoTurn) as own, turns.turn("bob", seconds=0.1):
            pass
        assert (own.value.own, 0.1 <= time.monotonic() - begun < 5) == (True, True)
        with (
            turns.turn("bella", seconds=1),
            pytest.raises(NoTurn) as others,
            turns.turn("alice", seconds=0.1),
        ):
            pass
        assert not others.value.own
    with turns.turn("alice", seconds=0):
        pass


def test_wait_ends_when_the_person_is_gone_and_keeps_no_turn() -> None:
    turns = FairTurns(Limits(total=1, each=1, spare=0, waiting=1))
    gone = threading.Event()
    refused = threading.Event()

    def wait() -> None:
        with pytest.raises(NoTurn), turns.turn("bella", seconds=60, is_gone=gone.is_set):
            pass
        refused.set()

    with turns.turn("bob", seconds=1):
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        wait_for(lambda: len(turns._waiting) == 1)
        gone.set()
        assert refused.wait(10)
        assert turns._waiting == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_turn_ends_however_its_work_does(error: type[BaseException]) -> None:
    turns = FairTurns(Limits(total=1, each=1, spare=0, waiting=1))
    for _ in range(3):
        with pytest.raises(error), turns.turn("bob", seconds=0):
            raise error
    with turns.turn("bella", seconds=0):
        pass


def test_threads_that_ask_at_once_stay_below_the_limits_and_all_get_their_turn() -> None:
    turns = FairTurns(Limits(total=4, each=2, spare=1, waiting=1000))
    working: list[str] = []
    seen: list[Counter[str]] = []
    begun: list[str] = []
    together = threading.Lock()

    def work(person: str) -> None:
        with turns.turn(person, seconds=60):
            with together:
                working.append(person)
                begun.append(person)
                seen.append(Counter(working))
            time.sleep(0.002)
            with together:
                working.remove(person)

    with ExitStack() as threads:
        for person in ["bob"] * 60 + [*PEOPLE] * 4:
            thread = threading.Thread(target=work, args=(person,))
            thread.start()
            threads.callback(thread.join, 60)
    assert Counter(begun) == Counter(["bob"] * 60 + [*PEOPLE] * 4)
    assert max(at.total() for at in seen) <= 4
    assert max(max(at.values()) for at in seen) <= 2
    assert max(at.total() for at in seen) > 1, "they worked at the same time"
    assert any(one != other for one, other in pairwise(begun))
    assert (turns._running, turns._waiting) == (set(), [])
