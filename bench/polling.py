"""What pages poll, beside a bare Flask route on the same web server.

Requests a second of server time, signed in, over connections that stay open, by turns. A page asks
every other second, so that many are still believed to be who they were a moment ago; in the worst
case every single request is somebody else's.
"""

from __future__ import annotations

import http.client
import itertools
import sys
from collections import defaultdict
from statistics import median

from bench.fanout import Server
from bench.report import publish, rounds, table

ROUTE = [sys.executable, "-m", "bench.reference.route"]
ROUNDS, REQUESTS, WARM, CONNECTIONS = rounds(5), 1500, 300, 8
REGULARS = 50
WANTED = 0.5
STATISTICS, ROW = "/api/dashboard/stats", "/api/jobs/1/progress"
BARE = "a bare Flask route"
#: Path, people who ask in turn (0: each but once), and whether their browsers hold the answer.
ASKED = {
    f"`{STATISTICS}`": (STATISTICS, REGULARS, False),
    f"`{STATISTICS}`, unchanged": (STATISTICS, REGULARS, True),
    f"`{ROW}`": (ROW, REGULARS, False),
    f"`{ROW}`, unchanged": (ROW, REGULARS, True),
    f"`{STATISTICS}`, each time by another": (STATISTICS, 0, False),
}


class Browsers:
    """Several connections that ask in turn."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._turns = itertools.cycle(
            [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(CONNECTIONS)]
        )

    def ask(self, path: str, headers: dict[str, str], wanted: int) -> str:
        connection = next(self._turns)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == wanted, f"{path}: {answer.status}"
        return answer.headers.get("ETag", "")

    def per_second(self, path: str, people: int, *, unchanged: bool) -> float:
        """Requests a second of server time."""
        cookies = self._server.cookies[: people or None] or [""]
        asking = itertools.cycle(cookies if people else cookies[WARM:])
        browser = {"HX-Request": "true", "User-Agent": "Mozilla/5.0", "Accept": "*/*"}
        wanted = 200
        if unchanged:
            tag = self.ask(path, {**browser, "Cookie": cookies[0]}, wanted)
            browser["If-None-Match"], wanted = tag, 304
        for cookie in itertools.islice(itertools.cycle(cookies[:WARM]), WARM):
            self.ask(path, {**browser, "Cookie": cookie}, wanted)
        before = self._server.seconds_used()
        for cookie in itertools.islice(asking, REQUESTS):
            self.ask(path, {**browser, "Cookie": cookie}, wanted)
        return REQUESTS / (self._server.seconds_used() - before)


def main() -> None:
    told: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        bare, portal = Server(BARE, ROUTE), Server("portal")
        try:
            told[BARE].append(Browsers(bare).per_second("/", 1, unchanged=False))
            browsers = Browsers(portal)
            for name, (path, people, unchanged) in ASKED.items():
                told[name].append(browsers.per_second(path, people, unchanged=unchanged))
        finally:
            bare.end()
            portal.end()
    report(told)


def report(told: dict[str, list[float]]) -> None:
    verdicts = []
    for name in ASKED:
        ratio = median(mine / bare for mine, bare in zip(told[name], told[BARE], strict=True))
        held = "held" if ratio >= WANTED else "MISSED"
        verdicts.append(f"- {name} ÷ {BARE}: **{ratio:.2f}**, at least {WANTED:g} wanted: {held}")
    publish(
        "Polling",
        "python -m bench.polling",
        f"{ROUNDS} rounds by turns of {REQUESTS:,} requests each, of viewers who are signed in.\n\n"
        f"{table(told, 'requests a second of server time', 0)}\n\n" + "\n".join(verdicts) + READING,
    )


READING = """

Flask builds a fragment at most once a second for each time zone and job, and after each change of a
status. That request costs eight times a bare route; the others are answered before they reach
Flask. A session that was checked within the last two seconds is not checked again. Any other
session is looked up by one SELECT outside of any transaction, because BEGIN and ROLLBACK cost as
much as the SELECT itself. With them, and with a turn of the loop to wait for others, such a poll
reached 0.45 of the requests of the bare route. Rows of jobs that a user may cancel or retry carry a
form of that user's session, so they are built for each request.
"""

if __name__ == "__main__":
    main()
