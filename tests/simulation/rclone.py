"""An rclone process and the watchdog that ends it: what lives on when a worker does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from portal.worker.timing import GRACE
from tests.simulation.timeline import Timeline
from tests.support.invariants import Lifetime

#: Seconds between two looks of the watchdog.
_STEP = 0.25


class Rclone:
    """Works for so many seconds, then ends by itself; ``exited`` is then called, with whether it
    succeeded. While its machine sleeps it does not live."""

    def __init__(
        self,
        timeline: Timeline,
        claim: tuple[int, int],
        seconds: float,
        succeeds: bool,
        exited: Callable[[bool], None],
    ) -> None:
        self.claim = claim
        self.lifetimes: list[Lifetime] = []
        self.dead = False
        self.suspended = False
        #: Of the watchdog: when its lease was renewed.
        self.kept_at = 0.0
        self._timeline = timeline
        self._left = seconds
        self._succeeds = succeeds
        self._exited = exited
        self._since: float | None = None
        self._live()

    def _live(self) -> None:
        self._since = now = self._timeline.now
        if not self.suspended:
            self._timeline.after(self._left, lambda: self._complete(now))

    def _complete(self, since: float) -> None:
        if self._since == since and not self.dead and not self.suspended:
            self._end(succeeded=self._succeeds)

    def _rest(self) -> None:
        """Writes down that it has lived until now."""
        if self._since is not None:
            now = self._timeline.now
            works = not self.suspended
            self.lifetimes.append(Lifetime(*self.claim, self._since, now, works))
            self._left -= 0.0 if self.suspended else now - self._since
            self._since = None

    def suspend(self) -> None:
        self._switch(suspended=True)

    def resume(self) -> None:
        self._switch(suspended=False)

    def _switch(self, *, suspended: bool) -> None:
        if self.suspended == suspended or self.dead:
            return
        sleeps = self._since is None
        self._rest()
        self.suspended = suspended
        if not sleeps:
            self._live()

    def sleep(self) -> None:
        if not self.dead:
            self._rest()

    def wake(self) -> None:
        """Its watchdog wakes with it, and looks within a step: that long an rclone whose lease has
        expired meanwhile may go on, with partial files of a name of its own."""
        if not self.dead and self._since is None:
            self._timeline.after(_STEP, self._wake)

    def _wake(self) -> None:
        if not self.dead and self._since is None:
            self._live()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after the grace; a suspended one is killed."""
        if self.suspended:
            self.kill()
        else:
            self._timeline.after(self._timeline.between(0.0, GRACE), self.kill)

    def kill(self) -> None:
        if not self.dead:
            self._end(succeeded=False)

    def _end(self, *, succeeded: bool) -> None:
        self._rest()
        self.dead = True
        self._timeline.tell("rclone of job", *self.claim, "is dead" if not succeeded else "is done")
        self._exited(succeeded)


class Watchdog:
    """A process beside its worker: it goes on while the worker is frozen, and knows when it is
    dead."""

    def __init__(self, timeline: Timeline, silence: float) -> None:
        self._timeline = timeline
        self._silence = silence
        self._kept_at = 0.0
        self.asleep = False
        self.rclones: list[Rclone] = []

    def hold(self, rclone: Rclone, kept_at: float) -> None:
        self.rclones.append(rclone)
        rclone.kept_at = kept_at
        self._watch(rclone)

    def release(self, rclone: Rclone) -> None:
        self.rclones.remove(rclone)

    def kept(self, moment: float) -> None:
        self._kept_at = max(self._kept_at, moment)

    def _watch(self, rclone: Rclone) -> None:
        due = max(rclone.kept_at, self._kept_at) + self._silence - self._timeline.now
        late = self._timeline.between(0.0, _STEP)
        if due > 0:
            self._timeline.after(due + late, lambda: self._look(rclone))
        else:
            rclone.kill()

    def _look(self, rclone: Rclone) -> None:
        if not (rclone.dead or self.asleep):
            self._watch(rclone)

    def sleep(self) -> None:
        """With its rclones."""
        self.asleep = True
        for rclone in self.rclones:
            rclone.sleep()

    def wake(self) -> None:
        self.asleep = False
        for rclone in list(self.rclones):
            self._timeline.after(self._timeline.between(0.0, _STEP), partial(self._look, rclone))
            rclone.wake()

    def end_all(self) -> None:
        """The worker is dead."""
        for rclone in self.rclones:
            if not rclone.dead:
                rclone.stop()

    def kill_all(self) -> None:
        for rclone in list(self.rclones):
            rclone.kill()
