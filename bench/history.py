"""What a page and a file cost with a long history, beside the same with a short one.

Two portals, one with 100 finished jobs and one with 100,000, are asked in turns for the same page,
over one open connection each. Then each of two gives its whole history as a file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert, update

from bench.report import publish, table, verdict
from bench.server import Client, prepared
from portal.db import session
from portal.db.clock import now
from portal.models import ActivityMinute, HistoryTotal, Job, JobCount, JobEvent
from portal.transfers.states import JobStatus
from tests.support.histories import totals_of
from tests.support.portal_server import PortalServer

SHORT, LONG = 100, 100_000
ROUNDS = 100
WANTED = 1.2
STATS = "/api/dashboard/stats"
#: The last but one page of the history stands before its hundredth job, however many there are.
HELD = (STATS, "/jobs", "/history", "/history?before=100")
BESIDE = ("/", "/jobs?status=completed", "/jobs?page=3", "/history?user=alice&status=completed")
#: Jobs in a short and in a long file, and how much more memory the long one may need.
SHORT_FILE, FILES, WANTED_OF_A_FILE = 1_000, 5, 1.1
#: The portal keeps the figures for a second; after this they are made anew.
PAUSE, PAUSED_ROUNDS = 1.1, 40
#: One job every five minutes: the long history is nearly a year.
STEP = timedelta(minutes=5)
CHUNK = 5_000


def main() -> None:
    told: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        with portals(Path(folder) / "pages", (SHORT, LONG)) as servers:
            clients = [Client(server) for server in servers]
            for path in (*HELD, *BESIDE):
                told[path] = measure(clients, path)
        with portals(Path(folder) / "files", (SHORT_FILE, LONG)) as servers:
            peaks, speeds = files(servers)
    report(told, peaks, speeds)


@contextmanager
def portals(folder: Path, sizes: tuple[int, int]) -> Iterator[list[PortalServer]]:
    servers = [PortalServer(folder / str(jobs)) for jobs in sizes]
    try:
        for server, jobs in zip(servers, sizes, strict=True):
            prepared(server)
            fill(server, jobs)
            server.start()
        yield servers
    finally:
        for server in servers:
            server.clean_up()


def fill(server: PortalServer, jobs: int) -> None:
    """Finished jobs with their events and the running totals that belong to them."""
    engine = session.connect(f"sqlite:///{server.data / 'portal.sqlite'}")
    with session.write() as tx:
        counts = dict.fromkeys(JobStatus, 0)
        last, ended = now().replace(microsecond=0), list[dict[str, Any]]()
        for first in range(0, jobs, CHUNK):
            rows = list(finished_jobs(first, min(CHUNK, jobs - first), last - STEP * jobs))
            tx.execute(insert(Job), rows)
            tx.execute(insert(JobEvent), [event for row in rows for event in events_of(row)])
            tx.execute(insert(ActivityMinute), [minute_of(row) for row in rows])
            ended += rows
            for row in rows:
                counts[row["status"]] += 1
        tx.execute(insert(HistoryTotal), totals_of(ended))
        for status, number in counts.items():
            tx.execute(update(JobCount).where(JobCount.status == status).values(jobs=number))
        tx.commit()
    session.session.remove()
    engine.dispose()


def finished_jobs(first: int, number: int, begun: datetime) -> Iterator[dict[str, Any]]:
    for index in range(first, first + number):
        status = {0: JobStatus.FAILED, 1: JobStatus.CANCELLED}.get(index % 20, JobStatus.COMPLETED)
        moment = begun + STEP * index
        yield {
            "id": index + 1,
            "name": f"Nightly photos {index}",
            "operation": "copy",
            "source": f"/srv/data/photos/{index % 365}",
            "destination": f"/mnt/backup/photos/{index % 365}",
            "source_remote_id": None,
            "destination_remote_id": None,
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


def events_of(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    steps = (None, JobStatus.QUEUED, JobStatus.RUNNING, row["status"])
    for seq, (old, new) in enumerate(pairwise(steps), start=1):
        yield {
            "job_id": row["id"],
            "at": row["started_at"],
            "seq": seq,
            "old_status": old,
            "new_status": new,
        }


def minute_of(row: dict[str, Any]) -> dict[str, Any]:
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


def files(servers: list[PortalServer]) -> tuple[list[list[float]], list[float]]:
    """MiB of memory of each server at its peak while it gave its file, and rows a second of the
    long one."""
    clients = [Client(server) for server in servers]
    peaks: list[list[float]] = [[], []]
    speeds = []
    for _ in range(FILES):
        for number, rows in enumerate((SHORT_FILE, LONG)):
            # From here on: a password that was checked before took more than any file.
            Path(f"/proc/{servers[number].pid}/clear_refs").write_text("5")
            begun = time.perf_counter()
            assert clients[number].lines("/history/export") == rows + 1
            if rows == LONG:
                speeds.append(rows / (time.perf_counter() - begun))
            peaks[number].append(peak(servers[number]))
    return peaks, speeds


def peak(server: PortalServer) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def report(
    told: dict[str, list[list[float]]], peaks: list[list[float]], speeds: list[float]
) -> None:
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
    memory = {f"a file of {n:,} jobs": of for n, of in zip((SHORT_FILE, LONG), peaks, strict=True)}
    file = f"memory at the peak, a file of {LONG:,} jobs ÷ one of {SHORT_FILE:,}, medians"
    text = f"""
Each page was requested {ROUNDS} times from each of two portals, by turns. The statistics were
requested {PAUSED_ROUNDS} times, with a pause before each, so that they are built again.

{table(rows, "milliseconds", 1)}

{lines}
- beside them: {beside}

The whole history was downloaded {FILES} times from each of two more portals, by turns:

{table({f"a file of {LONG:,} jobs": speeds}, "rows a second", 0)}

{table(memory, "MiB of the server at its peak", 1)}

{verdict(file, median(peaks[1]) / median(peaks[0]), WANTED_OF_A_FILE)}
"""
    publish("A long history", "python -m bench.history", text)


if __name__ == "__main__":
    main()
