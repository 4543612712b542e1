"""Everybody gets every event, whole and in order, whatever one client does."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.realtime.fanout.clients import KEY, Client, masked, parse, pump
from tests.shipped import environment as shipped
from tests.support.ports import free_port
from tests.support.project import ROOT

KIB = 1024
NOTHING = {
    "rooms": 0, "sockets": 0, "environ": 0, "rooms_of": 0, "recipients": 0, "slow": 0, "behind": 0,
    "pending": 0,
}  # fmt: skip


class Server:
    def __init__(self, *, interval: float = 25, timeout: float = 20) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                shipped.python(),
                "-m",
                "tests.realtime.fanout.server",
                *map(str, (self.port, interval, timeout)),
            ],
            cwd=ROOT,
            env=shipped.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.opened: list[Client] = []
        assert self._hear() == "ready"

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, do: str, **more: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        return json.loads(self._hear())

    def emit(self, events: list[tuple[str, Any]], **more: Any) -> None:
        self.tell("emit", events=events, **more)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.tell("state")
        return found

    def client(self, **options: Any) -> Client:
        self.opened.append(Client(self.port, **options))
        return self.opened[-1]

    def clients(self, number: int, **options: Any) -> list[Client]:
        opened = [self.client(**options) for _ in range(number)]
        pump(opened, lambda: all(client.head for client in opened))
        for client in opened:
            client.connect()
        pump(opened, lambda: all(client.connected for client in opened))
        return opened

    def leave(self) -> None:
        for client in self.opened:
            client.close()
        self.opened.clear()

    def end(self) -> None:
        self.leave()
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as ending:

        def begin(**options: float) -> Server:
            server = Server(**options)
            ending.callback(server.end)
            return server

        yield begin


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    return start()


@pytest.fixture(scope="module")
def one_for_all() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


@pytest.fixture
def shared(one_for_all: Server) -> Iterator[Server]:
    """Of these tests none may leave anything behind."""
    yield one_for_all
    one_for_all.leave()
    pump([], lambda: one_for_all.state()["left"] == NOTHING)


def status(n: int, size: int = 300) -> tuple[str, Any]:
    return "job_status_change", {"job_id": n % 7, "n": n, "text": "x" * size}


def progress(n: int, size: int = 300, jobs: int = 5) -> tuple[str, Any]:
    return "job_progress", {"job_id": n % jobs, "n": n, "text": "é" * size}


def got(clients: list[Client], statuses: int) -> bool:
    return all(len(client.statuses()) >= statuses for client in clients)


@pytest.mark.slow
def test_every_client_gets_whole_frames_beside_one_that_reads_byte_by_byte(server: Server) -> None:
    fast = server.clients(500)
    slow = server.clients(1, buffer=4096)[0]
    slow.bite = 1
    leaving, breaking = fast[:20], fast[20:40]
    staying = fast[40:]
    statuses = 0
    for turn in range(12):
        events = []
        for _ in range(4):
            events += [progress(statuses * 10 + index) for index in range(6)]
            # One of them is longer than what a socket with a small buffer takes at once.
            events.append(status(statuses, 9000 if statuses % 5 == 0 else 200))
            statuses += 1
        if turn % 3 == 1:
            leaving[turn].raw(masked(b"\x03\xe8", 0x88))
            breaking[turn].reset()
        for client in staying[:50]:
            client.raw(masked(b"are you there", 0x89))
        server.emit(events, every=0)
        pump([slow], lambda: True)
        pump([*staying, slow], lambda wanted=statuses: got(staying, wanted))
    last = 12 * 4 * 10 - 10 + 5
    pump([*staying, slow], lambda: all(last in client.newest().values() for client in staying))
    slow.bite = 7
    pump([slow], lambda: got([slow], statuses) and last in slow.newest().values(), 60)
    for client in [*staying, slow]:
        assert client.statuses() == list(range(statuses))
        assert client.newest() == staying[0].newest()
        assert client.rest == b""
    for client in staying[:50]:
        assert client.others.count((10, b"are you there")) == 12
    assert server.state()["dropped"] == {}


def cost(held: dict[str, int]) -> int:
    """Bytes of memory: objects of the process and what the kernel took."""
    return held["objects"] + held["kernel memory"]


def test_client_that_reads_nothing_for_long_costs_little_and_misses_no_status(
    start: Callable[..., Server],
) -> None:
    """Thirty seconds and more of 50 jobs with an event a second each, and 60 changes of status."""
    server = start(timeout=60)
    idle = server.clients(1)[0]
    others = server.clients(20)
    for turn in range(60):
        events = [progress(turn * 50 + index, 80, jobs=50) for index in range(50)]
        # What comes with a change of status leaves with it: nothing waits for a fifth of a second.
        server.emit([*events, status(turn)])
        # The others have everything while the idle one has read nothing.
        pump(others, lambda turn=turn: got(others, turn + 1))
        for held in server.state()["held"]:
            assert held["here"] <= 128 * KIB
            assert cost(held) <= 256 * KIB
    newest = {n % 50: n for n in range(59 * 50, 60 * 50)}
    assert all(client.newest() == newest for client in others)
    after = server.state()
    assert after["behind"] == 1
    [held] = after["held"]
    # The newest of each job and some of the changes are still to be sent, all of it unread.
    assert held["parts"] >= 50
    assert held["kernel"] > 0
    assert idle.events == []
    pump([idle], lambda: got([idle], 60) and idle.newest() == newest)
    assert idle.statuses() == list(range(60))
    assert len(idle.events) < len(others[0].events)
    assert idle.rest == b""
    pump([idle], lambda: server.state()["behind"] == 0)
    assert server.state()["dropped"] == {}


@pytest.mark.parametrize("size", [1, 300, 9000])
def test_no_client_costs_more_than_256_kib_until_it_is_dropped(
    start: Callable[..., Server], size: int
) -> None:
    """However long events are: what each costs beside its bytes counts as well."""
    server = start(timeout=60)
    server.clients(1, buffer=4096)
    most = 0
    at_once = max(1, 20_000 // (size + 200))
    for turn in range(100):
        server.emit([status(turn * at_once + index, size) for index in range(at_once)])
        found = server.state()
        most = max([most, *map(cost, found["held"])])
        if found["dropped"]:
            break
    assert found["dropped"] == {"backlog": 1}
    assert found["held"] == []
    assert 128 * KIB < most <= 256 * KIB


def test_idle_clients_have_no_greenlet_and_one_sweep_pings_them_all(
    start: Callable[..., Server],
) -> None:
    server = start(interval=0.3, timeout=60)
    few = server.clients(5)
    before = server.state()["greenlets"]
    clients = [*few, *server.clients(100)]
    pump(clients, lambda: all(client.pings >= 2 for client in clients))
    assert server.state()["greenlets"] == before
    for client in clients:
        client.pings = 0
    pump(clients, lambda: all(client.pings >= 1 for client in clients))
    assert server.state()["greenlets"] == before


def test_compression_that_is_offered_is_not_taken(shared: Server) -> None:
    asked = b"Sec-WebSocket-Extensions: permessage-deflate"
    offers: list[bytes] = []

    def ask(connection: socket.socket, request: bytes) -> None:
        offers.append(request)
        connection.sendall(request)

    def after_a_page(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"GET /page HTTP/1.1\r\nHost: here\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 404")
        ask(connection, request)

    clients = [shared.client(ask=way) for way in (ask, after_a_page)]
    for client in clients:
        client.connect()
    pump(clients, lambda: all(client.connected for client in clients))
    shared.emit([status(0, 5000)])
    pump(clients, lambda: got(clients, 1))
    assert all(asked in offer for offer in offers)
    for client in clients:
        assert client.head is not None
        assert b"extensions" not in client.head.lower()
        # Nobody made it shorter: a frame that was would have its second bit set, and be refused.
        assert client.bytes_read > 5000


def test_client_that_stays_behind_is_dropped_after_the_ping_timeout(
    start: Callable[..., Server],
) -> None:
    server = start(timeout=1)
    idle = server.clients(1, buffer=4096)[0]
    others = server.clients(5)
    server.emit([status(n, 12_000) for n in range(15)])
    pump(others, lambda: got(others, 15))
    assert server.state()["behind"] == 1
    pump(others, lambda: server.state()["dropped"] == {"slow": 1})
    pump(others, lambda: server.state()["left"]["sockets"] == 5)
    pump([idle], lambda: idle.ended)
    server.emit([status(15)])
    pump(others, lambda: got(others, 16))


def test_client_whose_backlog_overflows_is_dropped_in_mid_broadcast(server: Server) -> None:
    server.clients(1, buffer=4096)
    others = server.clients(5)
    reading = threading.Thread(target=pump, args=(others, lambda: got(others, 100)))
    reading.start()
    server.emit([status(n, 10_000) for n in range(100)], every=0.002)
    reading.join()
    assert all(client.statuses() == list(range(100)) for client in others)
    found = server.state()
    assert found["dropped"] == {"backlog": 1}
    assert found["left"]["sockets"] == 5


def test_client_that_answers_no_ping_is_dropped(start: Callable[..., Server]) -> None:
    server = start(interval=0.3, timeout=0.7)
    silent, alive = server.clients(2)
    silent.send = lambda text: None  # type: ignore[method-assign]
    pump([silent, alive], lambda: silent.ended)
    assert server.state()["dropped"] == {"ping timeout": 1}
    server.emit([status(0)])
    pump([alive], lambda: got([alive], 1))


def test_status_takes_along_the_progress_that_waits(shared: Server) -> None:
    client = shared.clients(1)[0]
    shared.emit([progress(1), progress(2), progress(6), status(0), progress(7)])
    pump([client], lambda: len(client.events) == 4)
    # Of job 1 the newest alone, of job 2 the one there was; the next waits its fifth of a second.
    assert [data["n"] for _, data in client.events] == [2, 6, 0, 7]
    client.close()


def test_progress_of_several_rooms_comes_before_the_status_that_follows(shared: Server) -> None:
    one, two = shared.clients(2)
    one.send('420["enter","here"]')
    pump([one], lambda: (1, b'430["here"]') in one.others)
    shared.tell(
        "emit", events=[progress(1)], room="here", then=[progress(2), status(0), progress(3)]
    )
    pump([one, two], lambda: len(one.events) == 4 and len(two.events) == 3)
    assert sorted(data["n"] for _, data in one.events[:2]) == [1, 2]
    assert [data["n"] for _, data in one.events[2:]] == [0, 3]
    assert [data["n"] for _, data in two.events] == [2, 0, 3]


def test_events_reach_exactly_those_who_are_in_the_room(shared: Server) -> None:
    one, two = shared.clients(2)
    one.send('420["enter","here"]')
    pump([one], lambda: (1, b'430["here"]') in one.others)
    shared.emit([status(0)], room="here")
    two.send('421["enter","here"]')
    pump([two], lambda: (1, b'431["here"]') in two.others)
    shared.emit([status(1)], room="here")
    one.send('422["leave","here"]')
    pump([one], lambda: (1, b'432["here"]') in one.others)
    shared.emit([status(2)], room="here")
    shared.emit([status(3)])
    pump([one, two], lambda: 3 in one.statuses() and 3 in two.statuses())
    assert one.statuses() == [0, 1, 3]
    assert two.statuses() == [1, 2, 3]


def test_entering_again_and_again_leaves_nothing(shared: Server) -> None:
    client = shared.clients(1)[0]
    for n in range(200):
        client.send(f'42{n}["enter","here"]')
    pump([client], lambda: (1, b'43199["here"]') in client.others)


def test_event_for_nobody_leaves_nothing(shared: Server) -> None:
    for n in range(50):
        shared.emit([status(n), progress(n)], room=f"session:{n}")
    assert shared.state()["left"] == NOTHING


def test_nothing_is_left_of_two_thousand_clients(shared: Server) -> None:
    [client.close() for client in shared.clients(50)]
    pump([], lambda: shared.state()["left"] == NOTHING)
    before = shared.state()
    for turn in range(20):
        clients = shared.clients(100)
        shared.emit([status(turn), progress(turn)])
        for index, client in enumerate(clients):
            if index % 3 == 0:
                client.raw(masked(b"", 0x88))
            elif index % 3 == 1:
                client.reset()
        for client in clients:
            client.close()
    pump([], lambda: shared.state()["left"] == NOTHING)
    after = shared.state()
    assert after["ended"] == before["ended"] + 2000
    assert after["descriptors"] == before["descriptors"]
    assert after["listeners"] == before["listeners"]
    assert after["dropped"] == {}


def test_refused_client_leaves_nothing_and_hears_nothing(shared: Server) -> None:
    client = shared.client()
    client.connect({"refused": True})
    pump([client], lambda: any(payload.startswith(b"44") for _, payload in client.others))
    shared.emit([status(0)])
    found = shared.state()["left"]
    assert (found["rooms"], found["rooms_of"], found["recipients"]) == (0, 0, 0)
    assert client.events == []


def test_sockets_that_come_by_the_way_of_pages_are_like_all_others(shared: Server) -> None:
    def in_pieces(connection: socket.socket, request: bytes) -> None:
        connection.sendall(request[:40])
        shared.state()  # the acceptor has looked at it by now
        connection.sendall(request[40:])

    def after_a_page(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"GET /page HTTP/1.1\r\nHost: here\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 404")
        connection.sendall(request)

    def with_more(connection: socket.socket, request: bytes) -> None:
        connection.sendall(request + masked(b"40") + masked(b'427["enter","here"]'))

    clients = [shared.client(ask=ask) for ask in (in_pieces, after_a_page, with_more)]
    for client in clients[:2]:
        client.connect()
    pump(clients, lambda: all(client.connected for client in clients))
    shared.emit([status(0)])
    pump(clients, lambda: got(clients, 1))
    assert (1, b'437["here"]') in clients[2].others


def test_thousand_who_come_at_once_are_all_let_in(shared: Server) -> None:
    clients = shared.clients(1000)
    shared.emit([status(0)])
    pump(clients, lambda: got(clients, 1))


def test_client_that_leaves_while_it_is_let_in_leaves_nothing(shared: Server) -> None:
    client = shared.client()
    client.connect({"slow": True})
    pump([client], lambda: client.head)
    client.reset()
    pump([], lambda: shared.state()["left"] == NOTHING)


def test_server_says_farewell_after_what_waits(server: Server) -> None:
    clients = server.clients(3, buffer=4096)
    server.emit([status(n, 10_000) for n in range(12)])
    server.tell("drop", clients=3)
    pump(clients, lambda: all(client.ended for client in clients))
    for client in clients:
        assert client.statuses() == list(range(12))
        assert client.others[-2:] == [(1, b"1"), (8, b"\x03\xe8")]
        assert client.rest == b""
    pump([], lambda: server.state()["left"] == NOTHING, 8)


def test_connection_that_is_not_closed_after_the_farewell_is_ended(server: Server) -> None:
    client = server.clients(1)[0]
    server.tell("drop", clients=1)
    pump([client], lambda: client.ended)  # the server's half
    before = server.state()["descriptors"]
    pump([], lambda: server.state()["descriptors"] == before - 1, 8)
    client.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05hello", 1002),
        (masked(b"hello", 0xC1), 1002),
        (masked(b"hello", 0x83), 1002),
        (masked(b"hello", 0x80), 1002),
        (masked(b"hello", 0x09), 1002),
        (masked(b"x" * 200, 0x89), 1002),
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask", 1009),
        (masked(b"", 0x01) + masked(b"", 0x00) * 100, 1009),
        (masked(b"4" + b"x" * 9000, 0x01) + masked(b"x" * 9000, 0x80), 1009),
    ],
    ids=[
        "no mask", "extension", "unknown kind", "continuation of nothing", "fragmented ping",
        "long ping", "endless frame", "endless fragments", "long message",
    ],
)  # fmt: skip
def test_client_that_breaks_the_protocol_is_told_and_ended(
    shared: Server, data: bytes, code: int
) -> None:
    client = shared.clients(1)[0]
    client.raw(data)
    pump([client], lambda: client.ended)
    assert client.others[-1] == (8, code.to_bytes(2, "big"))
    pump([], lambda: shared.state()["left"] == NOTHING)


@pytest.mark.parametrize("text", [b"", b"x", b"9", b"\xff", b"4", b"4x", b"45"])
def test_client_that_sends_nonsense_harms_nobody(shared: Server, text: bytes) -> None:
    other = shared.clients(1)[0]
    client = shared.clients(1)[0]
    client.raw(masked(text))
    client.close()
    shared.emit([status(0)])
    pump([other], lambda: got([other], 1))
    other.close()
    pump([], lambda: shared.state()["left"] == NOTHING)


def test_message_in_fragments_with_a_ping_between_is_understood(shared: Server) -> None:
    client = shared.clients(1)[0]
    whole = masked(b'427["en', 0x01) + masked(b"hi", 0x89) + masked(b'ter","a"]', 0x80)
    for index in range(len(whole)):
        client.raw(whole[index : index + 1])
    pump([client], lambda: (1, b'437["a"]') in client.others)
    assert (10, b"hi") in client.others
    client.close()


def test_flood_of_messages_is_answered_in_order(shared: Server) -> None:
    client = shared.clients(1)[0]
    flood = b"".join(masked(b'42%d["enter","r"]' % n) for n in range(500))
    threading.Thread(target=client.raw, args=(flood,)).start()
    wanted = [(1, b'43%d["r"]' % n) for n in range(500)]
    pump([client], lambda: client.others[-1] == wanted[-1])
    assert client.others[-500:] == wanted
    client.close()


@pytest.mark.parametrize(
    ("missing", "status"),
    [("Sec-WebSocket-Key", 400), ("Sec-WebSocket-Version", 426), ("Connection", 400)],
)
def test_half_a_handshake_is_a_bad_request_and_leaves_nothing(
    shared: Server, missing: str, status: int
) -> None:
    headers = {
        "Host": "here",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    del headers[missing]
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n{lines}\r\n".encode()
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 %d" % status)
    assert shared.state()["left"] == NOTHING


def test_parser_of_these_tests_finds_a_torn_stream() -> None:
    with pytest.raises(AssertionError):
        parse(b"\x81\x02hi" + b"i\x81\x02hi")
