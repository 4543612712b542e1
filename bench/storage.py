"""Real storages through the portal, each beside rclone alone: a folder of many entries, a transfer.

Both storages are ``rclone serve`` on this machine. A folder is opened anew each time; its reference
is the same question to the same server, ``rclone lsjson`` with the portal's options, from the start
of the process to its end. A transfer goes into an empty bucket, by turns.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from bench.report import publish, rounds, table, verdict
from bench.server import Client, prepared
from bench.transfer import TIMEOUT, finished, rclone
from portal.engine import Remote, TransferOrder, rclone_path
from portal.engine.answers.run_once import SHORT_WAITS
from portal.engine.order.remotes import variables
from portal.remotes.obscure import obscure
from tests.support.portal_server import PortalServer
from tests.support.storages import Storage, typed

ENTRIES, LOOKS = 10_000, rounds(7)
FILES, SIZE, ROUNDS = 100, 5_000_000, rounds(5)
WANTED_BEYOND, WANTED_RATIO = 0.5, 1.05
BARE, THROUGH = "bare rclone", "portal"

Told = dict[str, list[float]]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        here = Path(folder)
        server = PortalServer(here, PORTAL_REMOTES_ALLOW_LOCAL="true")
        prepared(server)
        storages = {kind: Storage(kind, here / f"{kind} storage") for kind in ("s3", "sftp")}
        try:
            create_files(server, storages)
            server.start()
            client = Client(server)
            for kind, storage in storages.items():
                storage.start()
                form = typed(storage.options(), backend=kind, name=kind)
                client.post("/remotes", form)
            looks = {kind: look(client, storage) for kind, storage in storages.items()}
            transfers = transfer(server, client, storages["s3"])
        finally:
            for storage in storages.values():
                storage.stop()
            server.clean_up()
    report(looks, transfers)


def create_files(server: PortalServer, storages: dict[str, Storage]) -> None:
    for storage in storages.values():
        many = storage.folder / "bucket" / "many"
        many.mkdir(parents=True)
        for number in range(ENTRIES):
            (many / f"entry {number:05}.txt").write_bytes(b"x")
    source = server.root / "source"
    source.mkdir()
    for number in range(FILES):
        (source / f"{number:03}.bin").write_bytes(os.urandom(SIZE))


def remote(storage: Storage) -> Remote:
    options = storage.options()
    if "pass" in options:
        options["pass"] = obscure(options["pass"])
    return Remote(storage.kind, storage.kind, options)


# --- a folder of many entries -------------------------------------------------------------------


def look(client: Client, storage: Storage) -> Told:
    query = urlencode({"at": f"{storage.kind}:bucket/many", "side": "source"})
    told: Told = {BARE: [], THROUGH: []}
    for number in range(LOOKS + 1):
        for name in (BARE, THROUGH)[:: 1 if number % 2 else -1]:
            took = ask(storage) if name == BARE else client.seconds(f"/browse?{query}")
            if number:  # the first fills the caches
                told[name].append(took)
    return told


def ask(storage: Storage) -> float:
    command = [str(rclone_path(None)), "lsjson", "--config", "", *SHORT_WAITS, "--no-mimetype"]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, "--no-modtime", "--", f"{storage.kind}:bucket/many"],
        env={"PATH": os.environ["PATH"], **variables(remote(storage))},
        capture_output=True,
        check=True,
    )
    took = time.perf_counter() - begun
    assert done.stdout.count(b'"Name"') == ENTRIES
    return took


# --- a transfer ---------------------------------------------------------------------------------


def transfer(server: PortalServer, client: Client, storage: Storage) -> Told:
    told: Told = {BARE: [], THROUGH: []}
    for number in range(ROUNDS + 1):
        for name in (BARE, THROUGH)[:: 1 if number % 2 else -1]:
            bucket = f"{name} {number}".replace(" ", "-")
            (storage.folder / bucket).mkdir()
            os.sync()
            destination = f"s3:{bucket}/copies"
            took = (
                bare(server.root / "source", destination, storage)
                if name == BARE
                else through(server, client, destination)
            )
            sizes = [path.stat().st_size for path in (storage.folder / bucket).rglob("*.bin")]
            assert sizes == [SIZE] * FILES
            shutil.rmtree(storage.folder / bucket)
            if number:
                told[name].append(took)
    return told


def bare(source: Path, destination: str, storage: Storage) -> float:
    order = TransferOrder(
        1, 1, "copy", str(source), destination, None, False, remotes=(remote(storage),)
    )
    with rclone(order) as (process, begun):
        assert process.wait(TIMEOUT) == 0
        return time.time() - begun


def through(server: PortalServer, client: Client, destination: str) -> float:
    fields = {"name": "Benchmark", "source": str(server.root / "source"), "operation": "copy"}
    begun = time.time()
    job = client.post("/jobs", {**fields, "destination": destination})
    number = int(job.rpartition("/")[2])
    ended = finished(server, number)
    with closing(sqlite3.connect(f"file:{server.data / 'portal.sqlite'}?mode=ro", uri=True)) as db:
        (files,) = db.execute(
            "SELECT files_transferred FROM jobs WHERE id = ?", (number,)
        ).fetchone()
    assert files == FILES
    return ended - begun


# --- the report ---------------------------------------------------------------------------------


def report(looks: dict[str, Told], transfers: Told) -> None:
    beyond = {
        kind: [mine - theirs for mine, theirs in zip(told[THROUGH], told[BARE], strict=True)]
        for kind, told in looks.items()
    }
    rows = {
        f"{name}, `rclone serve {kind}`": values
        for kind, told in looks.items()
        for name, values in told.items()
    }
    rows |= {f"portal beyond bare rclone, {kind}": values for kind, values in beyond.items()}
    ratio = median(a / b for a, b in zip(transfers[THROUGH], transfers[BARE], strict=True))
    verdicts = [
        verdict(f"seconds to the first rows beyond the storage's own answer, {kind}, median",
                median(values), WANTED_BEYOND)
        for kind, values in beyond.items()
    ]  # fmt: skip
    text = f"""
A folder of {ENTRIES:,} entries is opened in the dialog that browses: from the request to the last
byte of its first rows. Its listing is not kept from one opening to the next.

{table(rows, "seconds to the first rows", 3)}

{chr(10).join(verdicts)}

{FILES} files of {SIZE // 10**6} MB were copied to `rclone serve s3`, with the same options and in
the same environment. Through the portal the time runs from the POST to the end in the job's row;
for bare rclone, from its start to its exit.

{table(transfers, "seconds in all", 3)}

{verdict("portal ÷ bare rclone, median of the rounds' ratios", ratio, WANTED_RATIO)}
"""
    publish("Storages", "python -m bench.storage", text)


if __name__ == "__main__":
    main()
