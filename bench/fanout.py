"""Fan-out beside Node.js Socket.IO, uWebSockets (C++), stock Flask-SocketIO and a bare loop of
``socket.send``.

One load client for all of them, each server alone on one core and the client on another, by turns.
What a server delivers is counted by the processor time it spent, because the client, which has to
read every byte and compare it, is slower than the faster servers; the time until the last client
had everything stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.fanout_table import ROOMS, Figures, compared, verdicts
from bench.load import chart
from bench.report import PAGE, QUICK, ROOT, publish, rounds

HERE = Path(__file__).parent
PYTHON = [sys.executable, "-m"]
NODE = ["node", "--expose-gc"]
SERVERS = {
    "portal": [*PYTHON, "bench.load.portal"],
    "Node Socket.IO": [*NODE, "bench/reference/node.mjs"],
    "uWebSockets": [*PYTHON, "bench.reference.cpp"],
    "stock Flask-SocketIO": [*PYTHON, "bench.reference.stock"],
    "bare loop": [*PYTHON, "bench.reference.bare"],
}
SIZES = (100, 300, 1000, 3000, 10_000)
#: An event as the portal sends it.
EVENT = {
    "job_id": 17, "bytes_transferred": 2_684_354_560, "total_bytes": 4_294_967_296,
    "percent": 62.5, "speed_bytes": 52_428_800, "eta_seconds": 31, "files_transferred": 125,
    "files_total": 200, "phase": "transferring", "seq": 4711,
    "timestamp": "2026-01-31T12:03:10.123Z",
    "display": {
        "phase": "Transferring", "percent": "62 %", "bytes": "2.5 of 4.0 GiB",
        "speed": "50.0 MiB/s", "eta": "31 s left", "files": "125 of 200 files",
        "valuetext": "62 %, 2.5 of 4.0 GiB",
    },
}  # fmt: skip
ONE_BY_ONE, IN_A_TICK, LATENCIES, JOBS, SPREAD_SECONDS = 50, 50, 60, 50, 5
SETTLE = 1.0

Series = dict[str, dict[int, Figures]]


class Program:
    """A server or the load client: one line of JSON in, one line out."""

    def __init__(self, command: list[str], core: int) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: self._settle(core),  # noqa: PLW1509 - no threads run yet
        )

    @staticmethod
    def _settle(core: int) -> None:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def tell(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} ended: {self.process.wait()}"
        return line.strip()

    def answer(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self.hear())
        assert "error" not in heard, heard["error"]
        return heard

    def until_done(self) -> None:
        while self.hear() != "done":
            pass

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(12)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Server(Program):
    def __init__(
        self, name: str, command: list[str] | None = None, more: list[str] | None = None
    ) -> None:
        """``command`` of a server that is not compared here; ``more`` arguments of a portal."""
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="portal-bench-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        rest = [self.folder, *(more or [])] if name == "portal" else []
        super().__init__([*(command or SERVERS[name]), str(self.port), *rest], core=0)
        while self.hear() != "ready":
            pass  # the portal greets whoever started it
        self._wait_until_it_listens()
        self.first = 0
        self.cookies: list[str] = self._written("cookies.json")
        #: Names and passwords of those who sign in by the form; a reference has none.
        self.people: list[list[str]] = self._written("people.json")

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _written(self, name: str) -> Any:
        there = Path(self.folder) / name
        return json.loads(there.read_text()) if there.exists() else []

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline, f"{self.name} does not listen"
            time.sleep(0.05)

    def seconds_used(self) -> float:
        """Of processor time, to the nanosecond."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def idles(self, seconds: float) -> float:
        """Processor time a second while nothing is asked of it."""
        before = self.seconds_used()
        time.sleep(seconds)
        return (self.seconds_used() - before) / seconds

    def bytes_held(self) -> int:
        """Its resident memory, once garbage is gone."""
        self.tell(events=0, tick=1, every=0, first=0, event={}, alone=True)
        self.until_done()
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def end(self) -> None:
        super().end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Load(Program):
    def __init__(self) -> None:
        super().__init__(["node", "--max-semi-space-size=64", "bench/load/client.mjs"], core=1)

    def connect(self, server: Server, clients: int, at_once: int = 100) -> float:
        self.tell(connect=clients, at_once=at_once, origin=server.origin, cookies=server.cookies)
        seconds: float = self.answer()["seconds"]
        return seconds

    def sign_in(self, server: Server) -> None:
        """By the form, as a browser does. The first who connect then are those who did."""
        self.tell(people=server.people, origin=server.origin)
        server.cookies[:0] = self.answer()["cookies"]

    def receive(
        self,
        server: Server,
        events: int,
        *,
        tick: int = 1,
        every: float = 0,
        alone: bool = True,
        in_rooms: int = 0,
        teller: Program | None = None,
    ) -> dict[str, Any]:
        """What the client saw, and what the server spent on it. ``teller`` emits: the server, or
        another process. Each event goes to all clients at once, or to each of so many rooms."""
        teller = teller or server
        self.tell(expect=events, first=server.first)
        self.answer()
        before = server.seconds_used()
        teller.tell(
            events=events,
            tick=tick,
            every=every,
            first=server.first,
            event=EVENT,
            alone=alone,
            rooms=in_rooms,
        )
        seen = self.answer()
        teller.until_done()
        seen["used"] = server.seconds_used() - before
        server.first += events
        return seen


def fan_out(name: str, clients: int, figures: Figures, *, full: bool) -> None:
    """One round with one server: ``full`` at the size that is compared, else for the chart."""
    server, load = Server(name), Load()
    try:
        time.sleep(SETTLE)
        empty = server.bytes_held()
        guests = len(server.people)
        load.connect(server, clients - guests)
        time.sleep(SETTLE)
        figures["memory"].append((server.bytes_held() - empty) / (clients - guests) / 1024)
        if guests:  # after that, since a hash and a page leave memory that others could use
            load.sign_in(server)
            load.connect(server, guests)
        load.receive(server, 20 if full else 5)  # what is compiled at first use
        events, latencies = (ONE_BY_ONE, LATENCIES) if full else (20, 20)
        seen = load.receive(server, events)
        figures["one by one"].append(events * clients / seen["used"])
        figures["one by one, to the last"].append(events * clients / seen["seconds"])
        if full and name == "portal":
            load.receive(server, 5, in_rooms=ROOMS)
            seen = load.receive(server, events, in_rooms=ROOMS)
            figures["one by one, rooms"].append(events * clients / seen["used"])
        every = max(0.05, clients / 20_000)  # that one is over before the next
        seen = load.receive(server, latencies, every=every)
        figures["latency, median"].append(seen["last_p50"] * 1000)
        figures["latency, 99th"].append(seen["last_p99"] * 1000)
        if full:
            seen = load.receive(server, IN_A_TICK, tick=IN_A_TICK, alone=False)
            figures["in a tick"].append(IN_A_TICK * clients / seen["used"])
            figures["in a tick, to the last"].append(IN_A_TICK * clients / seen["seconds"])
            # The portal's come as rclone's lines do; the others get theirs in one tick a second.
            tick, every = (1, 1 / JOBS) if name == "portal" else (JOBS, 1.0)
            events = JOBS * SPREAD_SECONDS
            seen = load.receive(server, events, tick=tick, every=every, alone=False)
            figures["spread, cpu"].append(seen["used"] / (events * clients) * 1e6)
            figures["spread, 99th"].append(seen["p99"] * 1000)
    finally:
        load.end()
        server.end()


READING = """\
Server time is processor time. The client reads and compares every byte, so it is slower than the
faster servers, and the clock would measure the client. The bare loop sends each event by itself;
the portal collects the events of one tick into one write for each client, so it can be faster than
the loop. The references have no sessions, no rooms by right, no handling of slow clients and no
database. Ten of the portal's clients signed in through its form, each as a different user. The
sessions of the others were written to the database beforehand, because a sign-in is slow on
purpose. The portal checks all of them alike. The memory of an idle client is measured by the growth
of the process. The portal's clients partly fill memory that the sign-ins had freed, so its figure
is too low. Without sign-ins it was 2.4 KiB."""


@contextmanager
def noted(what: str) -> Iterator[None]:
    """A server that fails loses this round, not the others theirs."""
    try:
        yield
    except AssertionError as error:
        print(f"{what} failed: {error}", file=sys.stderr, flush=True)


def measure(options: argparse.Namespace, names: list[str]) -> tuple[dict[str, Figures], Series]:
    """Figures of each server at the size that is compared, and of each at every size."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    told: dict[str, Figures] = {name: defaultdict(list) for name in names}
    grown: Series = {
        name: {size: defaultdict(list) for size in options.sizes if size + 500 < most}
        for name in names
    }
    for turn in range(options.rounds):
        for name in names:
            with noted(name):
                fan_out(name, options.clients, told[name], full=True)
        for name in names if turn < options.chart_rounds else ():
            for size, figures in grown[name].items():
                if size != options.clients:
                    with noted(f"{name}, {size} clients"):
                        fan_out(name, size, figures, full=False)
        print(f"round {turn + 1}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    for name in names:
        if options.clients in grown[name]:
            grown[name][options.clients] = told[name]
    return told, grown


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=rounds(5))
    asked.add_argument("--clients", type=int, default=1000, help="where the servers are compared")
    asked.add_argument("--sizes", type=int, nargs="*", default=() if QUICK else SIZES)
    asked.add_argument("--chart-rounds", type=int, default=1, help="of the sizes for the chart")
    asked.add_argument("--only", choices=SERVERS, action="append", help="and publish nothing")
    options = asked.parse_args()
    told, grown = measure(options, options.only or list(SERVERS))
    if options.only:
        for name, figures in told.items():
            print(name, {key: round(median(values), 3) for key, values in figures.items()})
        return
    text = (
        f"{options.clients:,} clients, {options.rounds} rounds by turns, a server on one core and "
        f"the load client on another: median (least to greatest). Other sizes, for the chart, have "
        f"{options.chart_rounds} of them.\n\n{READING}\n\n"
        f"{compared(told)}\n\n{verdicts(told)}\n"
    )
    if options.sizes:
        chart.draw(PAGE.parent / "fan-out.svg", grown)
        text += "\n![Deliveries, latency and memory against the number of clients](fan-out.svg)\n"
    publish("Fan-out", "python -m bench.fanout", text)


if __name__ == "__main__":
    main()
