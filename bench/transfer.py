"""A transfer through the portal beside bare rclone with the same options.

1 GB in 200 files, by turns, the destination emptied before each. Through the portal the clock runs
from the POST to the moment that the job's row calls its end; bare, from the start of the process
to its exit. The first byte is there once any file below the destination has a size.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.report import publish, rounds, table, verdict
from bench.server import Client, prepared
from portal.engine.order.command import TransferOrder, command_line, environment
from portal.engine.order.runtime_dir import RuntimeDir
from portal.engine.process.binary import rclone_path, setpriv_path
from tests.support.portal_server import PortalServer

FILES, SIZE = 200, 5_000_000
ROUNDS = rounds(9)
TIMEOUT = 120.0
STATS_INTERVAL = 0.25  # what the worker asks for
WANTED_RATIO, WANTED_FIRST_BYTE = 1.05, 0.5

Timing = tuple[float, float]  # seconds to the first byte, to the end


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        server = PortalServer(Path(folder))
        source = server.root / "source"
        source.mkdir()
        for number in range(FILES):
            (source / f"{number:03}.bin").write_bytes(os.urandom(SIZE))
        prepared(server)
        server.start()
        try:
            client = Client(server)
            ways: dict[str, Callable[[Path], Timing]] = {
                "bare rclone": lambda copies: bare(source, copies),
                "portal": lambda copies: through_portal(server, client, source, copies),
            }
            told = measure(ways, server.root / "copies")
        finally:
            server.clean_up()
    report(told)


def measure(ways: dict[str, Callable[[Path], Timing]], copies: Path) -> dict[str, list[Timing]]:
    told: dict[str, list[Timing]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        # Who goes first changes each round: the second one finds the disk busier.
        for name in list(ways)[:: 1 if number % 2 else -1]:
            shutil.rmtree(copies, ignore_errors=True)
            os.sync()
            timing = ways[name](copies)
            assert sum(path.stat().st_size for path in copies.iterdir()) == FILES * SIZE
            if number:  # the first round fills the caches
                told[name].append(timing)
    return told


def bare(source: Path, copies: Path) -> Timing:
    with rclone(TransferOrder(1, 1, "copy", str(source), str(copies), None, False)) as (
        process,
        begun,
    ):
        first = first_byte(copies)
        assert process.wait(TIMEOUT) == 0
        return first - begun, time.time() - begun


def command_of(order: TransferOrder, runtime_dir: RuntimeDir) -> list[str]:
    """The command by which the portal runs rclone for this order."""
    return command_line(
        setpriv_path(),
        rclone_path(None),
        order,
        STATS_INTERVAL,
        runtime_dir=runtime_dir,
        moment=time.time(),
    )


@contextmanager
def rclone(order: TransferOrder) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Started as the portal starts it, with nobody to listen to it; and when."""
    runtime_dir = RuntimeDir()
    command = command_of(order, runtime_dir)
    begun = time.time()
    process = subprocess.Popen(command, env=environment(order, None), stderr=subprocess.DEVNULL)
    try:
        yield process, begun
    finally:
        process.kill()
        process.wait()
        runtime_dir.remove()


def through_portal(server: PortalServer, client: Client, source: Path, copies: Path) -> Timing:
    fields = {"name": "Benchmark", "source": str(source), "destination": str(copies)}
    begun = time.time()
    job = client.post("/jobs", {**fields, "operation": "copy"})
    first = first_byte(copies)
    return first - begun, finished(server, int(job.rpartition("/")[2])) - begun


def first_byte(folder: Path) -> float:
    deadline = time.time() + TIMEOUT
    while time.time() < deadline:
        if folder.is_dir() and any(entry.stat().st_size for entry in os.scandir(folder)):
            return time.time()
        time.sleep(0.002)
    raise AssertionError(f"nothing came to {folder}")


def finished(server: PortalServer, job: int, patience: float = TIMEOUT) -> float:
    """When the job ended, by its row; read from beside the portal, so as not to load it."""
    deadline = time.time() + patience
    with sqlite3.connect(f"file:{server.data / 'portal.sqlite'}?mode=ro", uri=True) as database:
        while time.time() < deadline:
            query = "SELECT status, finished_at FROM jobs WHERE id = ?"
            status, moment = database.execute(query, (job,)).fetchone()
            if moment is not None:
                assert status == "completed", status
                return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
            time.sleep(0.05)
    raise AssertionError(f"job {job} did not end")


def report(told: dict[str, list[Timing]]) -> None:
    first = {name: [timing[0] for timing in timings] for name, timings in told.items()}
    whole = {name: [timing[1] for timing in timings] for name, timings in told.items()}
    # Of the rounds, not of the medians: the two of a round share the disk's mood.
    ratio = median(a / b for a, b in zip(whole["portal"], whole["bare rclone"], strict=True))
    slowest = max(first["portal"])
    least = min(whole["portal"]) / min(whole["bare rclone"])
    text = f"""
1 GB in {FILES} files, copied from folder to folder of one disk, by turns.

{table(whole, "seconds in all", 3)}

{table(first, "seconds to the first byte", 3)}

{verdict("portal ÷ bare rclone, median of the rounds' ratios", ratio, WANTED_RATIO)}
- portal ÷ bare rclone, least of each: {least:.2f}
{verdict("seconds from the POST to the first byte, greatest", slowest, WANTED_FIRST_BYTE)}
"""
    publish("Transfer", "python -m bench.transfer", text)


if __name__ == "__main__":
    main()
