"""What web and worker processes share: they ask the database, sweep, and tell workers to look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from portal.services.jobs.rescue import _Clocks
from tests.simulation.timeline import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
#: Seconds for which a silent process keeps the right to sweep.
_SWEEP_SILENCE = 20.0


class PortalProcess(Process):
    def __init__(self, world: World, name: str) -> None:
        super().__init__(world.timeline, name)
        self.world = world
        self.rules = world.rules
        self.database = world.database

    def start(self) -> None:
        """A web process."""
        self.alive = True
        self.sweep_for_ever()

    def ask(
        self,
        statement: Callable[[], T],
        then: Callable[[T], object],
        failed: Callable[[], object] = lambda: None,
    ) -> None:
        """Has the database carry out a statement, and goes on with its answer. While it is away,
        or if the answer is lost, it goes on with ``failed``: then nobody knows whether the
        statement was carried out."""
        timeline, faults = self.timeline, self.world.faults
        now = timeline.now
        if now < self.offline_until or now < self.database.away_until:
            self.after(timeline.between(0.0, 3.0), failed)
        elif not timeline.chance(faults.slow_answers):
            then(statement())
        else:
            there, back = timeline.between(0.0, 2.0), timeline.between(0.0, 2.0)
            answers: list[T] = []

            def arrive() -> None:
                if timeline.now >= self.database.away_until:
                    answers.append(statement())
                    if timeline.chance(faults.lost_answers):
                        answers.clear()

            def go_on() -> None:
                then(answers[0]) if answers else failed()

            timeline.after(there, arrive)
            self.after(there + back, go_on)

    def send_look(self) -> None:
        self.world.send_look()

    # --- sweep ------------------------------------------------------------------------------------

    def sweep_for_ever(self) -> None:
        self._clocks = _Clocks()
        self.every(self.rules.timing.sweep, self._sweep)

    def _sweep(self) -> None:
        """``rescue.sweep``. Each of its statements may be slow, and the process may freeze between
        any two of them."""
        holder, until = self.database.sweeping
        now = self.timeline.now
        if holder is not None and now < until:
            return
        self.database.sweeping = (self, now + _SWEEP_SILENCE)
        self.ask(
            lambda: self.database.clock,
            then=lambda clock: self._rescue(now, clock),
            failed=self._end,
        )

    def _rescue(self, asked: float, clock: float) -> None:
        stalled_after, answered = self.rules.timing.stalled_after, self.timeline.now
        self._clocks.note(asked, _EPOCH + timedelta(seconds=clock), answered, stalled_after)
        if self.rules.mistrusts_clocks and not self._clocks.are_right(answered):
            self._requeue(rescued=False)
            return
        self.ask(
            lambda: self.database.stale(stalled_after, clock),
            then=lambda found: self._rescue_each(found, clock),
            failed=self._end,
        )

    def _rescue_each(self, found: list[tuple[int, int]], clock: float) -> None:
        for claim in found:
            rescue = partial(self.database.rescue_stale, claim)
            self.ask(partial(rescue, self.rules.timing.stalled_after, clock), then=bool)
        self._requeue(rescued=bool(found))

    def _requeue(self, *, rescued: bool) -> None:
        def done(queued: bool) -> None:
            self._end()
            if queued or rescued:
                self.send_look()

        self.ask(self.database.requeue_interrupted, then=done, failed=self._end)

    def _end(self) -> None:
        if self.database.sweeping[0] is self:
            self.database.sweeping = (None, 0.0)
