"""A plan of many files beside bare rclone, and the memory of the portal for few files and for many.

The plan: the dry run before a sync of 90,000 files that are new and 10,000 that are only at the
destination, so that rclone tells of each of them. By turns with a bare `rclone sync --dry-run` of
the same options, whose log and report go to files: the portal keeps every line of both too. Through
the portal the clock runs from the POST to the end that the job's row calls; bare, from the start of
the process to its exit. A third one throws its output away, which shows what writing it costs.

The memory: the greatest resident set of the portal's process, without rclone, during a job and
during its plan. Each portal is a new one that has done the same job of a few files before.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.report import QUICK, publish, rounds, table, verdict
from bench.server import Client, prepared
from bench.transfer import command_of, finished
from portal.engine.order.command import TransferOrder, environment
from portal.engine.order.runtime_dir import RuntimeDir
from tests.support.portal_server import PortalServer

NEW, OLD = (900, 100) if QUICK else (90_000, 10_000)
FEW, SOME, MANY = 1_000, *((5_000, 20_000) if QUICK else (50_000, 1_000_000))
ROUNDS = rounds(7)
IN_A_FOLDER = 1_000
TIMEOUT = 1_500.0
WANTED_RATIO, WANTED_GROWTH = 1.1, 1.05

KEPT, THROWN_AWAY = "bare rclone, output kept", "bare rclone, output thrown away"

MIB = 2**20
Memory = dict[str, list[float]]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        plans = measure_plans(Path(folder) / "plans")
        memory = {
            f"{files:,} files": measure_memory(Path(folder) / str(files), files)
            for files in (FEW, SOME, MANY)
        }
    report(plans, memory)


def fill(folder: Path, files: int, name: str = "f") -> Path:
    """Empty files: what is measured is how many they are."""
    for number in range(files):
        place = folder / f"{number // IN_A_FOLDER:04}"
        if number % IN_A_FOLDER == 0:
            place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}{number:07}.dat").touch()
    return folder


# --- plans --------------------------------------------------------------------------------------


def measure_plans(folder: Path) -> dict[str, list[float]]:
    server = PortalServer(folder)
    source = fill(server.root / "source", NEW)
    destination = fill(server.root / "destination", OLD, "old")
    prepared(server)
    server.start()
    try:
        client = Client(server)
        ways: dict[str, Callable[[], float]] = {
            KEPT: lambda: bare(source, destination, folder),
            THROWN_AWAY: lambda: bare(source, destination, None),
            "portal": lambda: job(server, client, "sync", source, destination, guarded="y"),
        }
        told: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS + 1):
            for name in list(ways)[:: 1 if number % 2 else -1]:
                took = ways[name]()
                if number:  # the first round fills the caches
                    told[name].append(took)
    finally:
        server.clean_up()
    return told


def bare(source: Path, destination: Path, kept: Path | None) -> float:
    """``kept``: the folder for what it writes."""
    order = TransferOrder(1, 1, "sync", str(source), str(destination), None, dry_run=True)
    runtime_dir = RuntimeDir()
    command = command_of(order, runtime_dir)
    files = [kept / name if kept else Path(os.devnull) for name in ("report", "log")]
    begun = time.time()
    try:
        with files[0].open("wb") as report, files[1].open("wb") as log:
            subprocess.run(
                command,
                env=environment(order, None),
                stdout=report,
                stderr=log,
                timeout=TIMEOUT,
                check=True,
            )
        return time.time() - begun
    finally:
        runtime_dir.remove()


def job(
    server: PortalServer,
    client: Client,
    operation: str,
    source: Path,
    destination: Path,
    **more: str,
) -> float:
    """How long it took."""
    ends = {"source": str(source), "destination": str(destination)}
    begun = time.time()
    made = client.post("/jobs", {"name": "Benchmark", "operation": operation, **ends, **more})
    return finished(server, int(made.rpartition("/")[2]), TIMEOUT) - begun


# --- memory -------------------------------------------------------------------------------------


def measure_memory(folder: Path, files: int) -> Memory:
    """MiB of the process, at rest and at most while it plans and while it copies."""
    server = PortalServer(folder)
    few = fill(server.root / "few", FEW)
    many = fill(server.root / "many", files)
    prepared(server)
    server.start()
    try:
        client = Client(server)
        job(server, client, "sync", few, server.root / "to few", guarded="y")
        job(server, client, "copy", few, server.root / "to few")
        told: Memory = {"before": [resident(server.pid, "VmRSS")]}
        forget_peak(server.pid)
        job(server, client, "sync", many, server.root / "to", guarded="y")
        told["plan"] = [resident(server.pid, "VmHWM")]
        forget_peak(server.pid)
        took = job(server, client, "copy", many, server.root / "to")
        told["copy"] = [resident(server.pid, "VmHWM")]
        told["seconds"] = [took]
    finally:
        server.clean_up()
    return told


def resident(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024 / MIB
    raise AssertionError(f"no {what} of {pid}")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


# --- both ---------------------------------------------------------------------------------------


def report(plans: dict[str, list[float]], memory: dict[str, Memory]) -> None:
    # Of the rounds, not of the medians: the two of a round share the machine's mood.
    ratio = median(a / b for a, b in zip(plans["portal"], plans[KEPT], strict=True))
    thrown = median(a / b for a, b in zip(plans["portal"], plans[THROWN_AWAY], strict=True))
    few, some, many = memory.values()
    rows = [
        f"| {name} | {told['before'][0]:.1f} | {told['plan'][0]:.1f} | {told['copy'][0]:.1f} "
        f"| {told['seconds'][0]:.0f} |"
        for name, told in memory.items()
    ]
    grown = {what: many[what][0] / few[what][0] for what in ("plan", "copy")}
    later = {what: many[what][0] / some[what][0] for what in ("plan", "copy")}
    text = f"""
A plan of {NEW:,} files to copy and {OLD:,} to delete, by turns.

{table(plans, "seconds", 2)}

{verdict("portal ÷ bare rclone, median of the rounds' ratios", ratio, WANTED_RATIO)}
- the same, where bare rclone's output is thrown away: {thrown:.2f}

The portal's own memory in MiB, at rest and at its peak during a plan and a copy. More files take
more until the buffers are full: of the pipe, of the log between two writes (8,000 lines at most),
of the database.

| | at rest | plan | copy | seconds of the copy |
| --- | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}

{verdict("plan, many ÷ few files", grown["plan"], WANTED_GROWTH)}
{verdict("copy, many ÷ few files", grown["copy"], WANTED_GROWTH)}
- the same from {SOME:,} files on: plan {later["plan"]:.2f}, copy {later["copy"]:.2f}
"""
    publish("Plans and many files", "python -m bench.plan", text)


if __name__ == "__main__":
    main()
