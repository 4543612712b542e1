"""Events of a worker, through Redis, beside events of the serving process itself.

Both are the real portal with the same clients, by turns; the one with Redis keeps its data in
PostgreSQL, as it must. The work of Redis and of the worker is on the load client's core.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from bench.fanout import (
    IN_A_TICK,
    JOBS,
    LATENCIES,
    ONE_BY_ONE,
    SETTLE,
    SPREAD_SECONDS,
    Load,
    Program,
    Server,
)
from bench.report import publish, rounds
from tests.support.parts import Postgres, Redis

CLIENTS, ROUNDS, TIMES = 1000, rounds(5), 5
#: A whole number of the sweeps and reviews that a web process makes by itself.
IDLE_SECONDS = 5.0
#: What the figures leave to be explained; published beneath them.
READING = """\
Fifty events in one tick are the hardest case. In one process it costs 12 ms to deliver them to
1,000 clients, because they leave as one write for each client. Through Redis each event costs 50 µs
more. Reading takes 4 µs of these (6 before each message was built only once). One message carries
several events, because receiving a message costs as much as reading it. The rest, which is Redis'
client and the order among processes, was not analysed further."""

WANTED = 0.9
ITSELF, QUEUE = "in process", "through Redis"
ROWS = {
    "one by one": "deliveries a second of server time, one event at a time",
    "in a tick": "deliveries a second of server time, 50 jobs in one tick",
    "spread": "deliveries a second of server time, 50 jobs, an event a second each",
    "latency": "ms until the last client has one event, median",
}


def measure(figures: dict[str, list[float]], server: Server, teller: Program) -> None:
    load = Load()
    idle = 0.0

    def deliveries(events: int, *, tick: int, every: float, alone: bool) -> float:
        begun = time.monotonic()
        seen = load.receive(server, events, tick=tick, every=every, alone=alone, teller=teller)
        return events * CLIENTS / (seen["used"] - idle * (time.monotonic() - begun))

    try:
        load.sign_in(server)
        time.sleep(SETTLE)
        load.connect(server, CLIENTS)
        time.sleep(SETTLE)
        idle = server.idles(IDLE_SECONDS)
        deliveries(20, tick=1, every=0, alone=True)  # what is compiled at first use
        figures["one by one"].append(
            median(deliveries(ONE_BY_ONE, tick=1, every=0, alone=True) for _ in range(TIMES))
        )
        figures["in a tick"].append(
            median(
                deliveries(IN_A_TICK, tick=IN_A_TICK, every=0, alone=False) for _ in range(TIMES)
            )
        )
        spread = deliveries(JOBS * SPREAD_SECONDS, tick=1, every=1 / JOBS, alone=False)
        figures["spread"].append(spread)
        seen = load.receive(server, LATENCIES, every=0.05, teller=teller)
        figures["latency"].append(seen["last_p50"] * 1000)
    finally:
        load.end()


def main() -> None:
    told: dict[str, dict[str, list[float]]] = {ITSELF: defaultdict(list), QUEUE: defaultdict(list)}
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        parts = [Path(folder) / name for name in ("postgres", "redis")]
        for part in parts:
            part.mkdir()
        Path(folder).chmod(0o755)
        postgres, redis = Postgres(parts[0]), Redis(parts[1])
        try:
            postgres.start()
            redis.start()
            for _ in range(ROUNDS):
                alone = Server("portal")
                try:
                    measure(told[ITSELF], alone, alone)
                finally:
                    alone.end()
                url = postgres.create()
                web = Server("portal", more=[url, redis.url])
                worker = Program([sys.executable, "-m", "bench.load.worker", redis.url], core=1)
                try:
                    assert worker.hear() == "ready"
                    measure(told[QUEUE], web, worker)
                finally:
                    worker.end()
                    web.end()
                    postgres.drop(url)
        finally:
            redis.stop()
            postgres.stop()
    report(told)


def report(told: dict[str, dict[str, list[float]]]) -> None:
    lines = [f"| | {ITSELF} | {QUEUE} | ratio |", "| --- | ---: | ---: | ---: |"]
    verdicts = []
    for key, words in ROWS.items():
        alone, queue = told[ITSELF][key], told[QUEUE][key]
        ratio = median(queue) / median(alone)
        cells = " | ".join(
            f"{median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"
            for values in (alone, queue)
        )
        lines.append(f"| {words} | {cells} | **{ratio:.2f}** |")
        if key != "latency":
            held = "held" if ratio >= WANTED else "MISSED"
            verdicts.append(f"- {words}: **{ratio:.2f}**, at least {WANTED:g} wanted: {held}")
    table, told_so = "\n".join(lines), "\n".join(verdicts)
    publish(
        "Fan-out through Redis",
        "python -m bench.queue",
        f"{CLIENTS:,} clients, {ROUNDS} rounds by turns: median (least to greatest). Server time "
        "is that of the web process, which reads, orders and frames each event, less what it "
        "spends in as many seconds when nothing is sent: with Redis it also looks for jobs whose "
        f"worker has gone. Of the first two rows, a round counts by the median of {TIMES}.\n\n"
        f"{table}\n\n{told_so}\n\n{READING}\n",
    )


if __name__ == "__main__":
    main()
