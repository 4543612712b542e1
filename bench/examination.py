"""What it costs to prove that nothing is lost, before the first file of a move.

The examination of a move from a local folder to each kind of storage, and between two servers of
one machine, which is the dearest; beside a bare rclone that lists the source.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.report import publish, rounds, table, verdict
from portal.engine import Remote, TransferOrder, rclone_path
from portal.engine.answers.inquiry import Inquiry
from portal.engine.safety.examination import Examination
from portal.remotes.obscure import obscure
from tests.support.storages import Storage

ROUNDS = rounds(9)
FILES = 200
WANTED = 1.0
KINDS = ("sftp", "webdav", "ftp", "s3")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as name:
        folder = Path(name)
        source = folder / "source"
        source.mkdir()
        for number in range(FILES):
            (source / f"{number:03}.bin").write_bytes(b"%d" % number)
        servers = {kind: Storage(kind, folder / kind).start() for kind in KINDS}
        try:
            for server in servers.values():
                (server.folder / "bucket" / "photos").mkdir(parents=True)
            told = measure(source, servers)
        finally:
            for server in servers.values():
                server.stop()
    report(told)


def measure(source: Path, servers: dict[str, Storage]) -> dict[str, list[float]]:
    ways: dict[str, Callable[[], None]] = {
        "bare rclone that lists the source": lambda: bare(source),
        "move to a local folder": lambda: examine(source, str(source.parent / "local")),
    }
    remotes = {kind: remote(kind, server) for kind, server in servers.items()}
    for kind in KINDS:
        ways[f"move to {kind}"] = lambda kind=kind: examine(  # type: ignore[misc]
            source, f"{kind}:bucket/new", remotes[kind]
        )
    ways["move from sftp to webdav"] = lambda: examine(
        "sftp:bucket/photos", "webdav:bucket/new", remotes["sftp"], remotes["webdav"]
    )
    (servers["sftp"].folder / "bucket" / "photos" / "one").write_bytes(b"1")
    told: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            began = time.monotonic()
            way()
            if number:  # the first round fills the caches
                told[name].append(time.monotonic() - began)
    return told


def bare(source: Path) -> None:
    command = [str(rclone_path(None)), "lsf", "--config", "", "--max-depth", "1", str(source)]
    subprocess.run(command, env={}, stdout=subprocess.DEVNULL, check=True)


def examine(source: Path | str, destination: str, *remotes: Remote) -> None:
    order = TransferOrder(
        1, 1, "move", str(source), destination, None, dry_run=False, remotes=remotes
    )
    examination = Examination(Inquiry(rclone_path(None), order, time.time()))
    examination.start()
    while not examination.wait(0.1):
        continue
    assert examination.verdict.refusal is None, examination.verdict
    examination.close(5.0)


def remote(kind: str, server: Storage) -> Remote:
    options = server.options()
    if kind != "s3":
        options["pass"] = obscure(options["pass"])
    return Remote(kind, kind, options)


def report(told: dict[str, list[float]]) -> None:
    slowest = max(median(seconds) for seconds in told.values())
    text = f"""
The examination of a move of {FILES} files, until its markers are gone; servers of the same machine.
Both ends may be on one machine here, so both are marked; a dry run that lists them follows.

{table(told, "seconds", 3)}

{verdict("seconds of the slowest, median", slowest, WANTED)}
"""
    publish("Examination before a move", "python -m bench.examination", text)


if __name__ == "__main__":
    main()
