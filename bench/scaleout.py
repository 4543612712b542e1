"""What workers cost: portal time beside rclone's own for many small jobs, statements of a hundred
running ones, and five minutes of one fault after another, after which nothing may be lost.

Real workers, PostgreSQL and Redis on this machine; the leases last as long as they do in earnest.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg
from flask import Flask

from bench.report import publish, table, verdict
from portal import engine
from portal.app import build_app
from portal.db import migrate, session
from portal.engine.order.command import command_line, environment
from portal.engine.order.runtime_dir import RuntimeDir
from portal.engine.process.binary import setpriv_path
from portal.models import Role, User
from portal.realtime import publish as live
from portal.services.accounts import users
from portal.services.actor import Actor
from portal.services.jobs import control, create
from portal.settings import Settings, load_settings
from portal.transfers import request
from portal.transfers.states import FINAL, JobStatus, Operation
from portal.worker.executors.celery import CeleryExecutor
from tests.support.applications import engine_of
from tests.support.parts import Postgres, Redis
from tests.support.storm import Storm
from tests.support.transfers import assert_ended_once, fill, miscounted, rclones, stored, tree
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for
from tests.support.worker_process import WorkerProcess

WORKERS = 2
#: As many transfers at once in each of them, where many small jobs are measured.
PLACES = 1
STATEMENTS_SECONDS = 20.0
AFTER_THE_STORM = 240.0


class Portal:
    """An application that notifies and sweeps, and two workers."""

    def __init__(self, folder: Path, postgres: Postgres, redis: Redis) -> None:
        self.postgres, self.redis = postgres, redis
        self.files = folder / "files"
        self._folder = folder
        self.settings: Settings = load_settings(
            data_dir=folder / "data",
            transfer_roots=(self.files,),
            database_url=postgres.create(),
            redis_url=redis.url,
        )
        self.files.mkdir()
        self.settings.prepare()
        migrate.upgrade(self.settings)
        self._executor = CeleryExecutor(self.settings)
        self.app: Flask = build_app(self.settings, executor=self._executor)
        self.bob: User = users.create_user("bob", Role.OPERATOR, PASSWORD)
        self._executor.start()
        self.workers: list[WorkerProcess] = []

    @contextmanager
    def at_work(self, places: int) -> Iterator[None]:
        """Two workers with so many places each."""
        made = [
            WorkerProcess(
                self.settings, self._folder / f"{n}.log", "--concurrency", str(places)
            ).start()
            for n in range(WORKERS)
        ]
        self.workers = made
        try:
            yield
        finally:
            for one in made:
                one.clean_up()
            wait_for(lambda: rclones(self.settings.data_dir) == [], 20)

    def add(self, source: Path, destination: Path, limit: str | None = None) -> int:
        order = request.Transfer(
            "Bench", Operation.COPY, str(source), str(destination), limit, dry_run=False
        )
        with self.app.app_context():
            return create.create(order, actor=Actor(self.bob)).id

    def wait_for_end(self, job_ids: Sequence[int], seconds: float) -> None:
        """Looks seldom, so that it costs those who are measured nothing."""
        question = "SELECT count(*) FROM jobs WHERE id BETWEEN %s AND %s AND status <> ALL(%s)"
        final = [str(status) for status in FINAL]
        deadline = time.monotonic() + seconds
        while (left := self.ask(question, job_ids[0], job_ids[-1], final)) != [(0,)]:
            assert time.monotonic() < deadline, f"{left} have not ended after {seconds:.0f} s"
            time.sleep(0.5)

    def ask(self, question: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.settings.database_url) as connection:
            return connection.execute(question.encode(), values).fetchall()

    def close(self) -> None:
        self._executor.stop()
        live.use_queue("")
        session.session.remove()
        engine_of(self.app).dispose()


# --- many small jobs ----------------------------------------------------------------------------


def bare(source: Path, destination: Path, settings: Settings) -> None:
    """The very rclone that the portal starts for such a job, by nobody but this program."""
    order = engine.TransferOrder(1, 1, "copy", str(source), str(destination), None, dry_run=False)
    runtime_dir = RuntimeDir()
    command = command_line(
        setpriv_path(),
        engine.rclone_path(settings.rclone),
        order,
        0.25,
        runtime_dir=runtime_dir,
        moment=time.time(),
    )
    done = subprocess.run(command, env=environment(order, None), capture_output=True, check=False)
    runtime_dir.remove()
    assert done.returncode == 0, done.stderr


def small_jobs(portal: Portal, number: int, rounds: int) -> str:
    """Milliseconds of a place that each job takes, by turns with the bare rclone."""
    source = fill(portal.files / "small", 1000, 1)
    alone: list[float] = []
    ours: list[float] = []
    each = number // rounds
    for turn in range(rounds):
        targets = [portal.files / f"{turn} {n}" for n in range(each)]
        begun = time.monotonic()
        with ThreadPoolExecutor(WORKERS * PLACES) as pool:
            list(pool.map(lambda to: bare(source, to, portal.settings), targets))
        alone.append((time.monotonic() - begun) / each * WORKERS * PLACES * 1000)
        ids = queued(portal, source, turn, each)
        with portal.at_work(PLACES):
            portal.wait_for_end(ids, 600)
            assert {stored(job_id).status for job_id in ids} == {"completed"}
            ours.append(span(portal, ids) / each * WORKERS * PLACES * 1000)
        assert_ended_once(ids)
    beyond = median(b - a for a, b in zip(alone, ours, strict=True))
    rows = {"rclone alone": alone, "a job of the portal": ours}
    return f"""
{number:,} queued jobs of one small file, {WORKERS} workers with {PLACES} slot each, {rounds}
rounds by turns with the same rclone started by a loop. The time is what a slot takes from one job
to the next.

{table(rows, "ms a job", 0)}

{verdict("portal beyond rclone, ms a job", beyond, 100)}
"""


def queued(portal: Portal, source: Path, turn: int, number: int) -> list[int]:
    return [portal.add(source, portal.files / f"job {turn} {n}") for n in range(number)]


def span(portal: Portal, ids: Sequence[int]) -> float:
    """Seconds from the first claim to the last end, as the events tell."""
    ((seconds,),) = portal.ask(
        "SELECT extract(epoch FROM max(at) - min(at)) FROM job_events "
        "WHERE job_id BETWEEN %s AND %s AND old_status IS NOT NULL",
        *(ids[0], ids[-1]),
    )
    return float(str(seconds))


# --- a hundred running jobs ---------------------------------------------------------------------


def statements(portal: Portal, number: int) -> str:
    """Statements a second, the begins and ends of transactions too."""
    source = fill(portal.files / "long", 100_000, 100)
    portal.ask("SELECT 1")
    portal.postgres.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", name_of(portal))
    with portal.at_work(number // WORKERS):
        ids = [portal.add(source, portal.files / f"long {n}", "100k") for n in range(number)]
        wait_for(lambda: running(portal, ids) == number, 120)
        time.sleep(5)
        portal.ask("SELECT pg_stat_statements_reset()")
        begun = time.monotonic()
        time.sleep(STATEMENTS_SECONDS)
        asked = portal.ask(
            "SELECT query, calls FROM pg_stat_statements JOIN pg_database ON oid = dbid "
            "WHERE datname = current_database() ORDER BY calls DESC"
        )
        took = time.monotonic() - begun
        still = running(portal, ids)
        for job_id in ids:
            with portal.app.app_context():
                control.cancel(job_id, actor=Actor(portal.bob))
        portal.wait_for_end(ids, 120)
    assert still == number, f"{number - still} of them had ended"
    assert_ended_once(ids)
    rate = sum(int(str(calls)) for _, calls in asked) / took
    most = "\n".join(
        f"| `{' '.join(str(query).split())[:70]}` | {int(str(calls)) / took:.1f} |"
        for query, calls in asked[:6]
    )
    return f"""
{number} jobs with real rclones run on {WORKERS} workers. Each copies a file and logs a line a
second. Statements are those that PostgreSQL counts, including begin and end of each transaction.

| the most frequent | a second |
| --- | ---: |
{most}

{verdict(f"statements a second of {number} running jobs", rate, 250)}
"""


def name_of(portal: Portal) -> str:
    return portal.settings.database_url.rpartition("/")[2]


def running(portal: Portal, ids: Sequence[int]) -> int:
    ((number,),) = portal.ask(
        "SELECT count(*) FROM jobs WHERE id BETWEEN %s AND %s AND status = %s",
        *(ids[0], ids[-1], str(JobStatus.RUNNING)),
    )
    return int(str(number))


# --- a storm ------------------------------------------------------------------------------------


def storm(portal: Portal, number: int, minutes: float) -> str:
    """Each job has its right end once, or this raises."""
    source = fill(portal.files / "storm", 300_000, 8)
    seed = time.time_ns()
    told: list[str] = []
    with portal.at_work(4):
        targets = {
            portal.add(source, portal.files / f"storm {n}", "100k"): portal.files / f"storm {n}"
            for n in range(number)
        }
        weather = Storm(portal.workers, portal.postgres, portal.redis, seed=seed, scale=1.0)
        end = time.monotonic() + minutes * 60
        for fault in weather.faults():
            told.append(fault)
            print(f"{minutes * 60 - (end - time.monotonic()):4.0f} s  {fault}", flush=True)
            weather.pause(5, 15)
            if time.monotonic() > end:
                break
        ids = list(targets)
        portal.wait_for_end(ids, AFTER_THE_STORM + number)
    assert_ended_once(ids)
    assert miscounted() == {}
    ends = dict.fromkeys(("completed", "failed"), 0)
    for job_id, target in targets.items():
        job = stored(job_id)
        ends[job.status] += 1
        if job.status == "completed":
            assert tree(target) == tree(source), (seed, job_id)
        else:
            assert job.interruptions == 4, (seed, job_id, job.error)
    begun = sum(stored(job_id).attempt for job_id in ids)
    return f"""
{number} jobs of some 24 s on {WORKERS} workers, {len(told)} faults in {minutes:g} minutes at the
real times of leases (seed {seed}): {", ".join(sorted({kind(one) for one in told}))}.

- {ends["completed"]} jobs completed with equal files and {ends["failed"]} failed after four lost
  workers, as they should, in {begun} attempts; each ended once, no `seq` is missing, every counter
  is right, no rclone was left: held
"""


def kind(fault: str) -> str:
    return fault.partition(" for ")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--jobs", type=int, default=1000, help="0 leaves a part out, here and below"
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--running", type=int, default=100)
    parser.add_argument("--storm", type=int, default=100, help="jobs")
    parser.add_argument("--minutes", type=float, default=5.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portal-scaleout-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        for name in ("postgres", "redis"):
            (folder / name).mkdir()
        postgres, redis = Postgres(folder / "postgres"), Redis(folder / "redis")
        postgres.start()
        redis.start()
        portal = Portal(folder, postgres, redis)
        try:
            parts = []
            if chosen.jobs:
                parts.append(small_jobs(portal, chosen.jobs, chosen.rounds))
            if chosen.running:
                parts.append(statements(portal, chosen.running))
            if chosen.storm:
                parts.append(storm(portal, chosen.storm, chosen.minutes))
        finally:
            portal.close()
            redis.stop()
            postgres.stop()
    words = "\n".join(parts)
    if chosen.jobs and chosen.running and chosen.storm:
        publish("Workers", "python -m bench.scaleout", words)
    else:
        print(words)  # a part of it is no section


if __name__ == "__main__":
    main()
