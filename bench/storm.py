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

from bench.fanout import SETTLE, Figures, Load, Server, noted
from bench.report import publish

RETURNING, AT_ONCE, ROUNDS = 2000, 500, 5
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
        cells = [
            f"{median(told[name][key]):,.0f} ({min(told[name][key]):,.0f} to "
            f"{max(told[name][key]):,.0f})"
            for name in NAMES
        ]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    lines.append("")
    for key, limit in {**LEAST, **MOST}.items():
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
By the profile, of the portal's time 12 % goes to the look at the session, 6 % to the cookie, 6 % to
the line in the log, 5 % to what is made of the head of the request, 13 % to taking the socket over,
16 % to Socket.IO's connect, and most of the rest to the web server and the sockets themselves. What
brought it there from 1.45 ms a client: those who come in the same turn of the loop share one query
(from 23 %), a reader of cookies that derives its key once (from 9 %), heads of plain requests read
without the mail parser (from 8 %), log lines that skip the library's loggers, sockets that pass by
the static files, and a collector that is spared what stays. At most 32 handshakes are under way, so
that pages are answered between them.
"""

if __name__ == "__main__":
    main()
