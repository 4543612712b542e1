"""What a page costs with a long history, beside the same page with a short one.

Two portals, one with 100 finished jobs and one with 100,000, are asked in turns for the same page,
over one open connection each.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

from sqlalchemy import insert, update

from bench.report import publish, table, verdict
from bench.server import Client, prepared
from portal import database
from portal.clock import now
from portal.models import ActivityMinute, Job, JobCount, JobEvent
from portal.states import JobStatus
from tests.browser.portal_server import PortalServer

SHORT, LONG = 100, 100_000
ROUNDS = 100
WANTED = 1.2
STATS = "/api/dashboard/stats"
HELD = (STATS, "/jobs")
BESIDE = ("/", "/jobs?status=completed", "/jobs?page=3")
#: The portal keeps the figures for a second; after this they are made anew.
PAUSE, PAUSED_ROUNDS = 1.1, 40
#: One job every five minutes: the long history is nearly a year.
STEP = timedelta(minutes=5)
CHUNK = 5_000


def main() -> None:
    told: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        servers = [PortalServer(Path(folder) / str(jobs)) for jobs in (SHORT, LONG)]
        try:
            for server, jobs in zip(servers, (SHORT, LONG), strict=True):
                prepared(server)
                fill(server, jobs)
                server.start()
            clients = [Client(server) for server in servers]
            for path in (*HELD, *BESIDE):
                told[path] = measure(clients, path)
        finally:
            for server in servers:
                server.clean_up()
    report(told)


def fill(server: PortalServer, jobs: int) -> None:
    """Finished jobs with their events and the running totals that belong to them."""
    engine = database.connect(f"sqlite:///{server.data / 'portal.sqlite'}")
    writing = database.begin_write()
    counts = dict.fromkeys(JobStatus, 0)
    last = now().replace(microsecond=0)
    for first in range(0, jobs, CHUNK):
        rows = list(finished_jobs(first, min(CHUNK, jobs - first), last - STEP * jobs))
        writing.execute(insert(Job), rows)
        writing.execute(insert(JobEvent), [event for row in rows for event in events_of(row)])
        writing.execute(insert(ActivityMinute), [minute_of(row) for row in rows])
        for row in rows:
            counts[row["status"]] += 1
    for status, number in counts.items():
        writing.execute(update(JobCount).where(JobCount.status == status).values(jobs=number))
    writing.commit()
    database.session.remove()
    engine.dispose()


def finished_jobs(first: int, number: int, begun: datetime) -> Iterator[dict[str, object]]:
    for index in range(first, first + number):
        status = {0: JobStatus.FAILED, 1: JobStatus.CANCELLED}.get(index % 20, JobStatus.COMPLETED)
        moment = begun + STEP * index
        yield {
            "id": index + 1,
            "name": f"Nightly photos {index}",
            "operation": "copy",
            "source": f"/srv/data/photos/{index % 365}",
            "destination": f"/mnt/backup/photos/{index % 365}",
            "owner_id": 1,
            "status": status,
            "attempt": 1,
            "seq": 60,
            "created_at": moment,
            "queued_at": moment,
            "started_at": moment,
            "finished_at": moment + timedelta(minutes=1),
            "bytes_transferred": 4_000_000_000,
            "total_bytes": 4_000_000_000,
            "percent": 100.0,
            "files_transferred": 1_200,
            "files_total": 1_200,
        }


def events_of(row: dict[str, object]) -> Iterator[dict[str, object]]:
    steps = (None, JobStatus.QUEUED, JobStatus.RUNNING, row["status"])
    for seq, (old, new) in enumerate(pairwise(steps), start=1):
        yield {
            "job_id": row["id"],
            "at": row["started_at"],
            "seq": seq,
            "old_status": old,
            "new_status": new,
        }


def minute_of(row: dict[str, object]) -> dict[str, object]:
    moment = row["finished_at"]
    assert isinstance(moment, datetime)
    return {
        "minute": moment.replace(second=0),
        "bytes_moved": row["bytes_transferred"],
        "completed": 1,
    }


def measure(clients: list[Client], path: str) -> list[list[float]]:
    """Milliseconds of each client, by turns."""
    told: list[list[float]] = [[] for _ in clients]
    for number in range((PAUSED_ROUNDS if path == STATS else ROUNDS) + 10):
        time.sleep(PAUSE if path == STATS else 0)
        for index, client in enumerate(clients):
            took = client.seconds(path) * 1000
            if number >= 10:  # the first ones compile templates and fill caches
                told[index].append(took)
    return told


def report(told: dict[str, list[list[float]]]) -> None:
    rows = {
        f"{path}, {jobs:,} jobs": values
        for path, both in told.items()
        for jobs, values in zip((SHORT, LONG), both, strict=True)
    }
    ratios = {path: median(both[1]) / median(both[0]) for path, both in told.items()}
    beside = ", ".join(f"`{path}` {ratios[path]:.2f}" for path in BESIDE)
    lines = "\n".join(
        verdict(f"`{path}`, {LONG:,} ÷ {SHORT} jobs, medians", ratios[path], WANTED)
        for path in HELD
    )
    text = f"""
{ROUNDS} requests of each page to each of two portals, by turns; the statistics {PAUSED_ROUNDS}
times, with a pause before each, so that they are made anew.

{table(rows, "milliseconds", 1)}

{lines}
- beside them: {beside}
"""
    publish("A long history", "python -m bench.history", text)


if __name__ == "__main__":
    main()
