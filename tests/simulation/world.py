"""A portal of several processes under virtual time: one course for each seed.

A course lasts about two minutes of virtual time and one millisecond of real time. Its parts:

- ``timeline``: what happens when; processes that freeze, thaw and die.
- ``database``: the rows of jobs, and the conditional changes of the services.
- ``portal_process``, ``worker``: web and worker processes: sweep, dispatcher, reporter, attempts.
- ``rclone``: rclone processes and the watchdog of each worker, which outlive it.
- ``faults``: what people do, and what breaks, drawn from the seed.

First people make jobs and parts break. Then the world is left in peace: everything is mended,
paused jobs are resumed, and no message is lost any more. From then on a job that may run has to run
soon, and all have to end. At last ``tests/support/invariants`` judges what happened.

The product's own: the times, which job runs next, which status may follow which, the slots of a
worker, the comparison of clocks. Mirrored: the conditions of the SQL, and the order of steps in the
dispatcher, the reporter and the attempt. Left out: pools, retries by people, dry runs, a watchdog
that is killed, and a worker that is frozen in the instant between the start of an rclone and the
word to its watchdog.
"""

from __future__ import annotations

import itertools
from random import Random

from portal.transfers.states import ACTIVE, JobStatus
from tests.simulation.database import Database, Row, clash
from tests.simulation.faults import Chances, Faults, People
from tests.simulation.portal_process import PortalProcess
from tests.simulation.rules import PRODUCT, Rules
from tests.simulation.timeline import Timeline
from tests.simulation.worker import Worker
from tests.support import invariants

#: Seconds until which things break, and after which all jobs have to have ended.
_TROUBLE, _LONGEST = 60.0, 900.0
#: Seconds between two looks at what could run.
_PROBE = 2.0


class World:
    def __init__(self, seed: int, rules: Rules = PRODUCT, *, tells: bool = False) -> None:
        self.rules = rules
        self.timeline = Timeline(Random(seed))  # noqa: S311 - no secret
        if tells:
            self.timeline.story = []
        random = self.timeline.random
        self.database = Database(self.timeline, rules)
        self.database.user_limit = random.choice((0, 1, 2))
        self.database.remote_limits = random.choice(({}, {1: 1}, {1: 2, 2: 1}))
        self.faults = Chances(
            lost_messages=random.choice((0.0, 0.1, 1.0)),
            doubled_messages=random.choice((0.0, 0.3)),
            slow_answers=random.choice((0.0, 0.1, 0.3)),
            lost_answers=random.choice((0.0, 0.0, 0.2)),
        )
        self._worker_ids = itertools.count(1)
        self.workers = [
            Worker(
                *(self, f"worker {name}"),
                slots=random.choice((1, 2)),
                keeps_slot=random.choice((0.0, 5.0, 1000.0)),
            )
            for name in "ABC"[: random.choice((1, 2, 2, 2, 3))]
        ]
        self.processes = [PortalProcess(self, "web"), *self.workers]
        self._in_peace_since: float | None = None
        self._could_run: dict[int, float] = {}

    # --- what its parts ask of it -----------------------------------------------------------------

    def new_worker_id(self) -> int:
        return next(self._worker_ids)

    def send_look(self) -> None:
        """The message to all workers: it may come late, twice or never."""
        timeline, chances = self.timeline, self.faults
        for worker in self.workers:
            copies = 1 + timeline.chance(chances.doubled_messages)
            for _ in range(copies):
                if not timeline.chance(chances.lost_messages):
                    timeline.after(timeline.between(0.0, 0.5), worker.hear_look)

    def tell_worker_of(self, row: Row) -> None:
        if row.status in ACTIVE:
            for worker in self.workers:
                worker.hear_wish_of(row.id)

    # --- a course ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises AssertionError if a rule was broken."""
        for process in self.processes:
            process.start()
        self.people = People(self, _TROUBLE)
        Faults(self, _TROUBLE)
        self.timeline.after(_TROUBLE, self._leave_in_peace)
        while self._in_peace_since is None or self._is_busy():
            self.timeline.advance()
            assert self.timeline.now < _LONGEST, f"jobs go on for ever: {[*self.database.open]}"
        self._judge()

    def _is_busy(self) -> bool:
        return bool(self.database.open) or any(worker.attempts for worker in self.workers)

    def _leave_in_peace(self) -> None:
        self.timeline.tell("the world is left in peace")
        self._in_peace_since = self.timeline.now
        self.faults = Chances()
        self.database.away_until = 0.0
        for process in self.processes:
            process.offline_until = 0.0
            process.thaw_if_frozen()
            process.revive()
        for row in list(self.database.open.values()):
            self.people.resume(row)
        self._probe()

    def _probe(self) -> None:
        """Nothing waits while it may run."""
        slots = sum(worker.ready and worker.slots.has_room for worker in self.workers)
        job = self.database.find_next(slots=slots)
        now = self.timeline.now
        self._could_run = {job.job_id: self._could_run.get(job.job_id, now)} if job else {}
        for job_id, since in self._could_run.items():
            # A look that came to nothing is made again at the next sweep but one.
            patience = 2 * self.rules.timing.sweep + 3.0
            assert now - since <= patience, f"job {job_id} may run since {since:.2f}, and waits"
        self.timeline.after(_PROBE, self._probe)

    def _judge(self) -> None:
        rows, changes = self.database.rows, self.database.changes
        lifetimes = [
            lifetime
            for worker in self.workers
            for rclone in worker.rclones
            for lifetime in rclone.lifetimes
        ]
        assert all(rclone.dead for worker in self.workers for rclone in worker.rclones)
        outcomes = [row.outcome() for row in rows.values()]
        invariants.assert_each_ended_once(outcomes, changes, without_event=())
        invariants.assert_one_at_a_time(lifetimes, lambda a, b: clash(rows[a], rows[b]))
        invariants.assert_rclones_have_claims(lifetimes, changes)
        limits = self.database.user_limit, self.database.remote_limits
        for spans in (invariants.holding(changes), [one for one in lifetimes if one.works]):
            invariants.assert_within_limits(outcomes, spans, *limits)
        assert not any(row.status is JobStatus.INTERRUPTED for row in self.database.open.values())


class Failed(AssertionError):
    """A course that broke a rule. Its words: the seed, the rule, the story."""


def run(seed: int, rules: Rules = PRODUCT) -> None:
    """Runs one course. Raises Failed, with the story of the same course once more."""
    try:
        World(seed, rules).run()
    except AssertionError:
        story = replay(seed, rules)
        raise Failed(f"seed {seed}\n{story}") from None


def replay(seed: int, rules: Rules = PRODUCT) -> str:
    """Returns the story of a course, with the rule that it broke at its end."""
    world = World(seed, rules, tells=True)
    try:
        world.run()
        end = "all is well"
    except AssertionError as broken:
        end = str(broken)
    return "\n".join([*(world.timeline.story or ()), end])
