"""What a loud log costs: other people's events while a job logs 1,000 lines a second, and the pages
of a log of a million lines beside those of a short one.

The job's rclone is a program that says as much as it is told to, since a real one that copies a
thousand files a second would keep the machine busy by itself. Somebody follows the log on its page
meanwhile, as pages do it: once a second. An event is a cancel of a queued job: from the POST to the
moment when the last of the other people has it, so that everything on its way counts.
"""

from __future__ import annotations

import contextlib
import random
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import socketio

from bench.report import publish, rounds, table, verdict
from bench.server import Client, prepared
from portal.db import session
from portal.engine import LogLine
from portal.services.jobs import logs
from portal.settings import load_settings
from tests.support.portal_server import PortalServer
from tests.support.scripts import python_program

LINES_A_SECOND, OTHERS, CANCELS, ROUNDS, WARM = 1000, 20, 40, rounds(7), 3.0
LONG, SHORT, PAGES = 1_000_000, 1_000, 15
QUIET, LOUD = "with its statistics alone", f"with {LINES_A_SECOND:,} lines a second"
WANTED_EVENTS, WANTED_PAGE, WANTED_SECONDS = 1.1, 1.25, 0.5

PROGRAM = f"""
import json, sys, time
if "version" in sys.argv:
    print("rclone v1.75.2")
    sys.exit()
loud = sys.argv[-2].endswith("loud")
begun, said = time.monotonic(), 0
while True:
    done = int((time.monotonic() - begun) * {LINES_A_SECOND}) if loud else said
    out = [json.dumps(dict(level="info", msg="Copied (new)", object=f"folder/part {{n:07}}.dat"))
           for n in range(said, done)]
    said = done
    figures = dict(bytes=1 + said, totalBytes=10**12, transfers=said, totalTransfers=10**7)
    out.append(json.dumps(dict(level="notice", msg="", stats=figures)))
    sys.stderr.write("\\n".join(out) + "\\n")
    sys.stderr.flush()
    time.sleep(0.25)
"""

Told = dict[str, list[float]]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        rclone = python_program(Path(folder) / "rclone", PROGRAM)
        settings = {"PORTAL_RCLONE": str(rclone), "PORTAL_MAX_RUNNING_JOBS": "1"}
        server = PortalServer(Path(folder), **settings)
        for name in ("loud", "quiet", "other"):
            (server.root / name).mkdir()
        prepared(server)
        try:
            server.start()
            events = beside_a_log(server, Client(server))
            jobs = two_logs(server, Client(server))
            pages = long_beside_short(Client(server), *jobs)
        finally:
            server.clean_up()
    report(events, pages)


def begin(server: PortalServer, client: Client, source: str) -> int:
    fields = {"name": source, "operation": "copy", "source": str(server.root / source)}
    made = client.post("/jobs", {**fields, "destination": str(server.root / "to")})
    return int(made.rpartition("/")[2])


# --- events of other people ---------------------------------------------------------------------


class Watchers:
    """People who watch: when each of them heard of the end of a job."""

    def __init__(self, server: PortalServer, cookie: str) -> None:
        self._received: dict[int, list[float]] = {}
        self._all = threading.Condition()
        self._clients = [socketio.Client(reconnection=False) for _ in range(OTHERS)]
        for one in self._clients:
            one.on("job_status_change", self._on_status)
            one.connect(server.url, headers={"Cookie": cookie}, transports=["websocket"])

    def _on_status(self, event: dict[str, object]) -> None:
        moment = time.perf_counter()
        if event["new_status"] == "cancelled":
            with self._all:
                self._received.setdefault(int(str(event["job_id"])), []).append(moment)
                self._all.notify_all()

    def last_received(self, job: int) -> float:
        with self._all:
            assert self._all.wait_for(lambda: len(self._received.get(job, ())) == OTHERS, 20)
            return max(self._received.pop(job))

    def go(self) -> None:
        for one in self._clients:
            one.disconnect()


def beside_a_log(server: PortalServer, client: Client) -> Told:
    told: Told = {QUIET: [], LOUD: []}
    others = Watchers(server, client.cookie)
    for number in range(ROUNDS + 1):
        for name in (QUIET, LOUD)[:: 1 if number % 2 else -1]:
            job = begin(server, client, "loud" if name == LOUD else "quiet")
            with followed(server, job):
                time.sleep(WARM)
                took = median(latencies(server, client, others))
                assert logged(client, job) > (LINES_A_SECOND if name == LOUD else 0)
            client.post(f"/jobs/{job}/cancel", {})
            others.last_received(job)
            if number:
                told[name].append(took * 1000)
    others.go()
    return told


def latencies(server: PortalServer, client: Client, others: Watchers) -> Iterator[float]:
    waiting = [begin(server, client, "other") for _ in range(CANCELS)]
    for job in waiting:
        time.sleep(random.uniform(0.02, 0.1))  # so that no pace of ours meets one of theirs
        begun = time.perf_counter()
        client.post(f"/jobs/{job}/cancel", {})
        yield others.last_received(job) - begun


@contextlib.contextmanager
def followed(server: PortalServer, job: int) -> Iterator[None]:
    client, over, seen = Client(server), threading.Event(), "0"

    def follow() -> None:
        nonlocal seen
        while not over.wait(1.0):
            answer = client.text(f"/api/jobs/{job}/log?after={seen}")
            through = re.search(r'data-through="(\d+)"', answer)
            seen = through[1] if through else seen

    following = threading.Thread(target=follow)
    following.start()
    try:
        yield
    finally:
        over.set()
        following.join()


def logged(client: Client, job: int) -> int:
    """How many lines the log says that it has."""
    found = re.search(r"([\d,]+) lines?,", client.text(f"/jobs/{job}/log"))
    assert found is not None
    return int(found[1].replace(",", ""))


# --- a long log ---------------------------------------------------------------------------------


def two_logs(server: PortalServer, client: Client) -> tuple[int, int]:
    """A job with a long log, and one with a short one; both are over."""
    jobs = begin(server, client, "other"), begin(server, client, "other")
    for job in jobs:
        client.post(f"/jobs/{job}/cancel", {})
    settings = load_settings(data_dir=server.data, transfer_roots=(server.root,))
    connected = session.connect(settings.database_url)
    for job, lines in zip(jobs, (LONG, SHORT), strict=True):
        # One more than the worker's own, which may have begun it.
        tail = logs.begin(job, 99)
        assert tail is not None
        for first in range(0, lines, 10_000):
            logs.append_lines(tail, said(first, min(lines, first + 10_000)))
            assert logs.save(tail)
    session.session.remove()
    connected.dispose()
    return jobs


def said(first: int, to: int) -> Sequence[LogLine]:
    return [
        LogLine(1.8e9 + n / 1000, "info", f"folder {n % 97}/part {n:07}.dat", "Copied (new)")
        for n in range(first, to)
    ]


def long_beside_short(client: Client, long: int, short: int) -> dict[str, tuple[float, float]]:
    """What is asked for → seconds of the long log and of the short one, medians."""
    asked = {
        "its last page": ("/jobs/{job}/log", "/jobs/{job}/log"),
        "a page in its middle": (f"/jobs/{{job}}/log?from={LONG // 2}", "/jobs/{job}/log?from=500"),
        "the newest lines of its tail": (
            f"/api/jobs/{{job}}/log?after={LONG - 100}",
            f"/api/jobs/{{job}}/log?after={SHORT - 100}",
        ),
        "the page of its job": ("/jobs/{job}", "/jobs/{job}"),
        "a look for errors, of which it has none": (
            "/jobs/{job}/log?level=error",
            "/jobs/{job}/log?level=error",
        ),
        "a step of a search for what it does not hold": (
            "/jobs/{job}/log?q=nothing+like+that",
            "/jobs/{job}/log?q=nothing+like+that",
        ),
    }
    told = {}
    for name, (of_long, of_short) in asked.items():
        both: tuple[list[float], list[float]] = [], []
        for _ in range(PAGES):
            both[0].append(client.seconds(of_long.format(job=long)))
            both[1].append(client.seconds(of_short.format(job=short)))
        told[name] = median(both[0]), median(both[1])
    return told


# --- the report ---------------------------------------------------------------------------------


def report(events: Told, pages: dict[str, tuple[float, float]]) -> None:
    ratio = median(loud / quiet for loud, quiet in zip(events[LOUD], events[QUIET], strict=True))
    lines = ["| milliseconds, median | 1,000,000 lines | 1,000 lines |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {a * 1000:.1f} | {b * 1000:.1f} |" for name, (a, b) in pages.items()]
    *same, errors, search = pages.items()
    verdicts = [verdict(f"{name}, long ÷ short", a / b, WANTED_PAGE) for name, (a, b) in same]
    for name, (seconds, _) in (errors, search):
        verdicts.append(verdict(f"seconds for {name}", seconds, WANTED_SECONDS))
    text = f"""
A user follows a running job, by turns {QUIET} and {LOUD}. Meanwhile
{CANCELS} queued jobs are cancelled one by one. The time runs from the POST until the last of
{OTHERS} people has the event. Each round counts by its median.

{table(events, "ms from the act to the last of the others", 1)}

{verdict("loud ÷ quiet, median of the rounds' ratios", ratio, WANTED_EVENTS)}

{chr(10).join(lines)}

{chr(10).join(verdicts)}

A search reads 150 chunks in one step, about 10 MB of text, and continues with the next step. A
short log takes less than one step.
"""
    publish("Logs of jobs", "python -m bench.logs", text)


if __name__ == "__main__":
    main()
