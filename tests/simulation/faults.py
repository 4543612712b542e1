"""What goes wrong in a course, and what people do meanwhile: all of it drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portal.transfers.states import Operation
from tests.simulation.database import Row

if TYPE_CHECKING:
    from tests.simulation.portal_process import PortalProcess
    from tests.simulation.worker import Worker
    from tests.simulation.world import World

_PLACES = ("/a", "/a/b", "/b", "/c", "/d", "/e")
_OPERATIONS = (Operation.COPY, Operation.COPY, Operation.SYNC, Operation.MOVE, Operation.CHECK)


@dataclass(slots=True)
class Chances:
    """How likely it is that a message is lost, that one comes twice, that the database answers
    late, and that a late answer is lost."""

    lost_messages: float = 0.0
    doubled_messages: float = 0.0
    slow_answers: float = 0.0
    lost_answers: float = 0.0


class People:
    """They make jobs, and change their minds."""

    def __init__(self, world: World, until: float) -> None:
        self._world = world
        self._random = world.timeline.random
        for _ in range(self._random.randint(2, 6)):
            world.timeline.after(until * 0.6 * self._random.random() ** 2, self.create)
        for act in (self._cancel, self._pause, self._pause, self._prioritise):
            for _ in range(self._random.randint(0, 2)):
                world.timeline.after(until * self._random.random(), act)

    def create(self) -> None:
        random, database = self._random, self._world.database
        reads, writes = random.sample(_PLACES, 2)
        row = Row(
            id=len(database.rows) + 1,
            owner_id=random.randint(1, 2),
            operation=random.choice(_OPERATIONS),
            reads=f"{reads}/from",
            writes=writes,
            remotes=random.choice(((), (1,), (1, 2), (2,))),
            seconds=random.choice((5.0, 20.0, 90.0)) * random.random(),
            succeeds=random.random() < 0.9,
            priority=random.choice((-1, 0, 0, 1)),
        )
        database.add(row)
        self._world.timeline.tell(
            f"job {row.id} is made: user {row.owner_id}, {row.operation}, {row.reads} to "
            f"{row.writes}, remotes {row.remotes}, {row.seconds:.1f} s, priority {row.priority}"
        )
        self._world.send_look()

    def _any_job(self) -> Row | None:
        rows = list(self._world.database.open.values())
        return self._random.choice(rows) if rows else None

    def _cancel(self) -> None:
        row = self._any_job()
        if row is not None and self._world.database.cancel(row):
            self._world.timeline.tell("people cancel job", row.id)
            self._world.tell_worker_of(row)
            self._world.send_look()

    def _pause(self) -> None:
        row = self._any_job()
        if row is not None and self._world.database.pause(row, True):
            self._world.timeline.tell("people pause job", row.id)
            self._world.tell_worker_of(row)
            self._world.timeline.after(30.0 * self._random.random(), lambda: self.resume(row))

    def resume(self, row: Row) -> None:
        if self._world.database.pause(row, False):
            self._world.timeline.tell("people resume job", row.id)
            self._world.tell_worker_of(row)
            self._world.send_look()

    def _prioritise(self) -> None:
        row = self._any_job()
        if row is not None:
            self._world.database.prioritise(row, self._random.choice((-1, 0, 1)))
            self._world.send_look()


class Faults:
    """Breaks parts of the world, and mends each again."""

    def __init__(self, world: World, until: float) -> None:
        self._world = world
        self._timeline = world.timeline
        self._random = world.timeline.random
        kinds = (
            self._kill_worker,
            self._stop_worker,
            self._freeze,
            self._freeze_worker,
            self._sleep,
            self._cut_off,
            self._take_database_away,
            self._set_clock,
        )
        for _ in range(self._random.choice((0, 1, 2, 2, 3, 4))):
            self._timeline.after(until * self._random.random(), self._random.choice(kinds))

    def _seconds(self) -> float:
        """Often short, sometimes longer than every lease."""
        return self._random.choice((2.0, 15.0, 40.0, 75.0)) * self._timeline.between(0.5, 1.0)

    def _any_worker(self) -> Worker:
        """One that works, if there is any."""
        busy = [worker for worker in self._world.workers if worker.attempts]
        return self._random.choice(busy or self._world.workers)

    def _kill_worker(self) -> None:
        worker = self._any_worker()
        if worker.alive and not worker.frozen:
            worker.kill()
            self._timeline.after(self._seconds(), worker.revive)

    def _stop_worker(self) -> None:
        worker = self._any_worker()
        if worker.ready and not worker.frozen:
            worker.stop()

    def _freeze_worker(self) -> None:
        self._freeze(self._any_worker())

    def _freeze(self, process: PortalProcess | None = None) -> None:
        process = process or self._random.choice(self._world.processes)
        if process.alive and not process.frozen:
            process.freeze()
            self._timeline.after(self._seconds(), process.thaw_if_frozen)

    def _sleep(self) -> None:
        worker = self._any_worker()
        if worker.ready and not worker.frozen:
            worker.sleep()
            self._timeline.after(self._seconds(), worker.thaw_if_frozen)

    def _cut_off(self) -> None:
        process = self._random.choice(self._world.processes)
        process.offline_until = self._timeline.now + self._seconds()
        self._timeline.tell(process.name, f"is offline until {process.offline_until:.2f}")

    def _take_database_away(self) -> None:
        database = self._world.database
        database.away_until = self._timeline.now + self._seconds()
        self._timeline.tell(f"database: away until {database.away_until:.2f}")

    def _set_clock(self) -> None:
        by = self._random.choice((-3600.0, -20.0, -8.0, 8.0, 12.0, 20.0, 60.0, 3600.0))
        by *= self._random.random()
        self._world.database.ahead += by
        self._timeline.tell(f"database: the clock is set by {by:.2f} s")
