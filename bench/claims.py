"""Claims: how many jobs that do nothing are claimed and ended a second, what a long queue costs,
and how soon an idle worker takes a job."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from flask import Flask
from sqlalchemy import insert, select

from bench.report import publish, rounds, table, verdict
from bench.scaleout import PASSWORD, Portal
from portal.app import build_app
from portal.db import migrate, session
from portal.db.session import read_connection
from portal.models import Job, Role, User
from portal.services.accounts import users
from portal.services.actor import Actor
from portal.services.jobs import create, queue_position, scheduler
from portal.settings import Settings, load_settings
from portal.transfers import request
from portal.transfers.states import Operation
from portal.worker.executors.in_process import InProcessExecutor
from tests.support.applications import configure, engine_of
from tests.support.parts import Postgres, Redis
from tests.support.transfers import stored
from tests.support.waiting import wait_for

JOBS, ROUNDS, LOOKS = 300, rounds(5), 20
OWNERS, SHORT, LONG = 50, 100, 10_000
WANTED = {"SQLite": 300.0, "PostgreSQL": 500.0}


@contextmanager
def portal(folder: Path, url: str = "") -> Iterator[tuple[Settings, Flask]]:
    files = folder / "files"
    files.mkdir(parents=True)
    settings = load_settings(data_dir=folder / "data", transfer_roots=(files,), database_url=url)
    settings.prepare()
    migrate.upgrade(settings)
    app = build_app(settings)
    for number in range(OWNERS):
        users.create_user(f"user{number}", Role.OPERATOR, PASSWORD)
    session.session.remove()
    yield settings, app
    session.session.remove()
    engine_of(app).dispose()


def owner() -> User:
    return session.session.scalars(select(User).order_by(User.id)).first()


def fill(app: Flask, number: int, first: int) -> None:
    """Rows as the form makes them, of 50 owners by turns; none writes where another does."""
    with app.app_context():
        order = request.Transfer("Bench", Operation.CHECK, "/a", "/b", None, dry_run=False)
        sample = create.create(order, actor=Actor(owner()))
        with read_connection() as connection:
            columns = select(Job.__table__).where(Job.id == sample.id)
            row = dict(connection.execute(columns).one()._mapping)
        rows = [
            row | {"id": first + n, "first_try_id": first + n, "owner_id": 1 + n % OWNERS}
            for n in range(number)
        ]
        session.session.execute(insert(Job.__table__), rows)
        session.session.commit()
        session.session.remove()


def claims_a_second(app: Flask, settings: Settings, workers: int, first: int) -> float:
    fill(app, JOBS, first)
    command = [sys.executable, "-m", "bench.load.claimer", str(settings.data_dir)]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, settings.database_url],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(workers)
        ]
        for one in started:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        begun = time.monotonic()
        for one in started:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        ended = sum(int(one.stdout.readline()) for one in started if one.stdout is not None)
        seconds = time.monotonic() - begun
        for one in started:
            assert one.stdin is not None
            one.stdin.close()
    assert ended >= JOBS
    return ended / seconds


def looks(app: Flask) -> tuple[float, float]:
    """ms of processor time for the choice of the next job, and for the queue of one page."""
    with app.app_context():
        page = list(session.session.scalars(select(Job).order_by(Job.id.desc()).limit(25)))
        times = []
        for act in (lambda: scheduler.find_next([None]), lambda: queue_position.of(page)):
            act()
            begun = time.process_time()
            for _ in range(LOOKS):
                act()
            times.append((time.process_time() - begun) / LOOKS * 1000)
        session.session.remove()
    return times[0], times[1]


def waits(app: Flask, ids: Sequence[int]) -> list[float]:
    wait_for(lambda: all(stored(job_id).started_at is not None for job_id in ids), 60)
    rows = [stored(job_id) for job_id in ids]
    return [
        (row.started_at - row.created_at).total_seconds() * 1000 for row in rows if row.started_at
    ]


def latency_of_one_process(folder: Path) -> list[float]:
    with portal(folder) as (settings, app):
        executor = InProcessExecutor(settings)
        configure(app, executor=executor)
        executor.start()
        try:
            return _one_after_the_other(app, settings.transfer_roots[0])
        finally:
            executor.stop()


def _one_after_the_other(app: Flask, files: Path) -> list[float]:
    (files / "from").mkdir(exist_ok=True)
    with app.app_context():
        bob = Actor(owner())
        session.session.remove()  # PostgreSQL ends one that waits within a transaction
    found = []
    for number in range(LOOKS):
        order = request.Transfer(
            *("Bench", Operation.COPY, str(files / "from"), str(files / f"to {number}"), None),
            dry_run=False,
        )
        with app.app_context():
            job_id = create.create(order, actor=bob).id
        found += waits(app, [job_id])
    return found


def main() -> None:
    rates: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    idle: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        parts = [folder / part for part in ("postgres", "redis")]
        for part in parts:
            part.mkdir()
        postgres, redis = Postgres(parts[0]), Redis(parts[1])
        try:
            postgres.start()
            redis.start()
            for database, workers in (("SQLite", 1), ("PostgreSQL", 2)):
                url = postgres.create() if workers > 1 else ""
                with portal(folder / database, url) as (settings, app):
                    for turn in range(ROUNDS):
                        rate = claims_a_second(app, settings, workers, 100_000 * (turn + 1))
                        rates[database].append(rate)
                    fill(app, SHORT, 10_000_000)
                    short = [looks(app) for _ in range(ROUNDS)]
                    fill(app, LONG - SHORT, 20_000_000)
                    long = [looks(app) for _ in range(ROUNDS)]
                for index, what in enumerate(("claims", "pages")):
                    costs[f"{what}, {database}"] = [
                        after[index] / before[index]
                        for before, after in zip(short, long, strict=True)
                    ]
            idle["one process"] = latency_of_one_process(folder / "idle")
            there = folder / "machines"
            there.mkdir()
            several = Portal(there, postgres, redis)
            try:
                with several.at_work(1):
                    idle["two workers, through Redis"] = _one_after_the_other(
                        several.app, several.files
                    )
            finally:
                several.close()
        finally:
            redis.stop()
            postgres.stop()
    report(rates, costs, idle)


def report(
    rates: dict[str, list[float]], costs: dict[str, list[float]], idle: dict[str, list[float]]
) -> None:
    verdicts = [
        f"- {name}, claims a second: **{median(values):.0f}**, at least {WANTED[name]:g} wanted: "
        + ("held" if median(values) >= WANTED[name] else "MISSED")
        for name, values in rates.items()
    ]
    verdicts += [
        verdict(f"{LONG:,} queued jobs ÷ {SHORT}, {name}", median(values), 1.2)
        for name, values in costs.items()
    ]
    verdicts += [
        verdict(f"ms until an idle worker has a job, {name}", median(values), limit)
        for (name, values), limit in zip(idle.items(), (100, 300), strict=True)
    ]
    publish(
        "Claims",
        "python -m bench.claims",
        f"{JOBS} jobs that do nothing, of {OWNERS} owners, claimed and ended by one process "
        f"(SQLite) or two (PostgreSQL); {ROUNDS} rounds.\n\n"
        f"{table(dict(rates), 'claims a second', 0)}\n\n{table(idle, 'ms', 0)}\n\n"
        + "\n".join(verdicts),
    )


if __name__ == "__main__":
    main()
