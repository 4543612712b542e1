"""Everybody returns at once, as after a restart, while somebody looks at pages.

2,000 clients, 500 of them at a time, beside Node.js Socket.IO and stock Flask-SocketIO, which ask
for no session. Each server has a core to itself, and the clock counts whatever else runs there;
server time does not.
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.request
from collections import defaultdict
from statistics import median

from bench.fanout import SETTLE, Load, Server, noted
from bench.fanout_table import Figures, cell
from bench.report import publish, rounds

RETURNING, AT_ONCE, ROUNDS = 2000, 500, rounds(5)
NAMES = ("portal", "Node Socket.IO", "stock Flask-SocketIO")
ROWS = {
    "clock": "clients a second by the clock",
    "server": "clients a second of server time",
    "each": "µs of server time for one of them, the pages included",
    "pages": "ms for a page meanwhile, median",
}
#: Rows of the portal, and the least or the most that they may be.
LEAST, MOST = {"clock": 1000, "server": 1000}, {"pages": 200}


def storm(name: str, figures: Figures) -> None:
    server, load = Server(name), Load()
    path = "/jobs" if name == "portal" else "/"
    cookie = server.cookies[-1] if server.cookies else ""
    pages: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            request = urllib.request.Request(server.origin + path, headers={"Cookie": cookie})
            begun = time.perf_counter()
            with urllib.request.urlopen(request) as answer:
                answer.read()
            pages.append(time.perf_counter() - begun)

    looking = threading.Thread(target=look)
    try:
        time.sleep(SETTLE)
        looking.start()
        load.sign_in(server)
        time.sleep(SETTLE)
        pages.clear()
        before = server.seconds_used()
        seconds = load.connect(server, RETURNING, AT_ONCE)
        used = server.seconds_used() - before
        figures["clock"].append(RETURNING / seconds)
        figures["server"].append(RETURNING / used)
        figures["each"].append(used / RETURNING * 1e6)
        figures["pages"].append(median(pages) * 1000 if pages else seconds * 1000)
    finally:
        over.set()
        looking.join()
        load.end()
        server.end()


def main() -> None:
    told: dict[str, Figures] = {name: defaultdict(list) for name in NAMES}
    for turn in range(ROUNDS):
        for name in NAMES:
            with noted(name):
                storm(name, told[name])
        print(f"round {turn + 1}", file=sys.stderr, flush=True)
    lines = ["| | " + " | ".join(NAMES) + " |", "| --- |" + " ---: |" * len(NAMES)]
    for key, words in ROWS.items():
        cells = [cell(told[name].get(key, []), 0) for name in NAMES]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    lines.append("")
    for key, limit in {**LEAST, **MOST}.items() if told["portal"] else ():
        value = median(told["portal"][key])
        held = value >= limit if key in LEAST else value <= limit
        bound = "at least" if key in LEAST else "at most"
        lines.append(
            f"- {ROWS[key]}: **{value:,.0f}**, {bound} {limit:,} wanted: "
            f"{'held' if held else 'MISSED'}"
        )
    publish(
        "A storm of reconnects",
        "python -m bench.storm",
        f"{RETURNING:,} clients, {AT_ONCE} at a time, {ROUNDS} rounds by turns: median (least to "
        f"greatest).\n\n" + "\n".join(lines) + f"\n\n{READING}",
    )


READING = """\
Meanwhile a user opens `/jobs` five times a second. The references answer with a constant and check
no session, no origin and no limit. Each of the portal's clients has a session: ten signed in
through its form before the clock started, and the sessions of the others were written beforehand.
By the clock, a server gets only what the rest of the machine leaves, and the client is slower than
the portal: it spends about 0.45 ms on each connection.

Through eventlet's web server a client cost 0.78 ms without the pages, and at first 1.45 ms. Half of
that went to the greenlet, the files, the head and the environ of a request that then gave its
socket away; the acceptor needs none of these (decision 23). One query looks up all clients that
connect together, the handshakes of Socket.IO and Engine.IO are bypassed, and the garbage collector
skips objects that stay. At most 32 handshakes share a turn of the loop; without that limit a page
had to wait for all of them.

According to the profile, a quarter of the remaining time answers Socket.IO's CONNECT (rooms and log
line included), a quarter checks cookie and session, a sixth is the handshake, and the rest is spent
in the kernel and the event loop.
"""

if __name__ == "__main__":
    main()
