"""Two web processes beside one: what each delivery costs, and what they deliver together.

Events come from outside through Redis, as those of a worker do, and each leaves at once. Server
time is processor time: on a machine of two cores the load client takes one of them, so that the
clock could not show what a second process adds. What N processes can deliver is bound by the one
that spent most.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.fanout import EVENT
from bench.report import publish, table, verdict
from portal.db import migrate, session
from portal.realtime.bus.messages import Kind
from portal.realtime.bus.publisher import Publisher
from portal.realtime.rooms import STATUS_CHANGE, topic_room
from portal.services.accounts import users
from portal.settings import load_settings
from tests.support.parts import Postgres, Redis
from tests.support.people import Person
from tests.support.users import PASSWORD
from tests.support.web_processes import Web

CONNECT = b"\x81\x82\0\0\0\0" + b"40"  # a masked text frame, by a mask of nothing
MARK = b'"job_status_change"'
BUSIEST = "deliveries a second of the busiest process' time"
TICK = os.sysconf("SC_CLK_TCK")


class Crowd:
    """Clients that count what they hear."""

    def __init__(self, port: int, cookie: str, number: int) -> None:
        self.heard = 0
        self._selector = selectors.DefaultSelector()
        self._rest: dict[socket.socket, bytes] = {}
        request = (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\nCookie: {cookie}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()
        for _ in range(number):
            made = socket.create_connection(("127.0.0.1", port))
            made.sendall(request)
            seen = b""
            while b'"sid"' not in seen:
                seen += made.recv(4096)
            assert b" 101 " in seen, seen
            made.sendall(CONNECT)
            while b"40{" not in seen:
                seen += made.recv(4096)
            made.setblocking(False)
            self._rest[made] = b""
            self._selector.register(made, selectors.EVENT_READ)

    def listen(self, seconds: float) -> None:
        """Reads what has come, waiting for it so long at most."""
        for key, _ in self._selector.select(seconds):
            made = key.fileobj
            assert isinstance(made, socket.socket)
            data = made.recv(262_144)
            assert data, "a client was dropped"
            text = self._rest[made] + data
            self.heard += text.count(MARK)
            # What may be the beginning of a mark, and surely is no whole one.
            self._rest[made] = text[-(len(MARK) - 1) :]

    def close(self) -> None:
        for made in self._rest:
            made.close()


def spent(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def one_round(web: Web, person: Person, redis: str, clients: int, events: int) -> list[float]:
    """Seconds of processor time that each process spent on all deliveries."""
    crowd = Crowd(web.port, person.cookie, clients)
    publisher = Publisher(redis)
    time.sleep(1)
    before = {pid: spent(pid) for pid in pids(web)}
    first = time.monotonic_ns() // 1000
    for number in range(events):
        payload = {**EVENT, "job_id": first + number, "seq": 1, "new_status": "running"}
        publisher.publish(Kind.EVENT, topic_room(STATUS_CHANGE), "job_status_change", payload)
        until = time.monotonic() + 0.01
        while (left := until - time.monotonic()) > 0:
            crowd.listen(left)
    deadline = time.monotonic() + 60
    while crowd.heard < clients * events:
        assert time.monotonic() < deadline, f"{crowd.heard} of {clients * events} arrived"
        crowd.listen(0.5)
    after = [spent(pid) - before[pid] for pid in before]
    publisher.close()
    crowd.close()
    return after


def started(folder: Path, database_url: str, redis: str, processes: int) -> Web:
    settings = load_settings(data_dir=folder / "made", database_url=database_url)
    settings.prepare()
    migrate.upgrade(settings)
    engine = session.connect(database_url)
    users.create_user("bob", "operator", PASSWORD)
    session.session.remove()
    engine.dispose()
    web = Web(
        folder,
        PORTAL_DATABASE_URL=database_url,
        PORTAL_REDIS_URL=redis,
        PORTAL_SOCKETS_PER_USER="5000",
    )
    web.options = ("--processes", str(processes)) if processes > 1 else ()
    web.start()
    return web


def pids(web: Web) -> list[int]:
    return web.children() or [web.pid]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=600)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portal-processes-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        for name in ("postgres", "redis", "1", "2"):
            (folder / name).mkdir()
        postgres, redis = Postgres(folder / "postgres"), Redis(folder / "redis")
        postgres.start()
        redis.start()
        webs = {
            number: started(
                folder / str(number),
                postgres.create(),
                redis.url.removesuffix("/0") + f"/{number}",
                number,
            )
            for number in (1, 2)
        }
        try:
            measure(webs, redis, chosen)
        finally:
            for web in webs.values():
                web.clean_up()
            redis.stop()
            postgres.stop()


def measure(webs: dict[int, Web], redis: Redis, chosen: argparse.Namespace) -> None:
    deliveries = chosen.clients * chosen.events
    cost: dict[int, list[float]] = {1: [], 2: []}
    rate: dict[int, list[float]] = {1: [], 2: []}
    people = {number: Person(web, "bob") for number, web in webs.items()}
    for _ in range(chosen.rounds):
        for number, web in webs.items():
            url = redis.url.removesuffix("/0") + f"/{number}"
            seconds = one_round(web, people[number], url, chosen.clients, chosen.events)
            cost[number].append(sum(seconds) / deliveries * 1e6)
            rate[number].append(deliveries / max(seconds))
    dearer = median(two / one for one, two in zip(cost[1], cost[2], strict=True))
    faster = median(two / one for one, two in zip(rate[1], rate[2], strict=True))
    names = {1: "one process", 2: "two processes"}
    held = "held" if faster >= 1.8 else "MISSED"
    publish(
        "Web processes",
        "python -m bench.processes",
        f"""
{chosen.clients:,} clients, {chosen.events} events one at a time through Redis, {chosen.rounds}
rounds by turns. The kernel spreads the clients over the processes.

{table({names[n]: values for n, values in cost.items()}, "µs of server time a delivery")}

{table({names[n]: values for n, values in rate.items()}, BUSIEST, 0)}

- two processes ÷ one, deliveries, median of ratios: **{faster:.2f}**, at least 1.8 wanted: {held}
{verdict("two processes ÷ one, server time a delivery", dearer, 1.1)}
""",
    )


if __name__ == "__main__":
    main()
