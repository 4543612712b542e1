"""One client that sends too much, too slowly or nonsense is refused or ended; the others are served
meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.support.people import Person
from tests.support.portal_server import PortalServer, with_users
from tests.support.sockets import Listener, listening, said, upgrade
from tests.support.waiting import wait_for

SERVED_WITHIN = 1.0
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    running = with_users(tmp_path_factory.mktemp("floods"), migrated)
    running.start()
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def bella(server: PortalServer) -> Person:
    return Person(server, "bella")


@pytest.fixture(scope="module")
def charlie(server: PortalServer) -> Iterator[Listener]:
    """Whom the others must not disturb."""
    with listening(Person(server, "charlie")) as listener:
        yield listener


@pytest.fixture
def others_are_served(server: PortalServer, charlie: Listener) -> Callable[[], None]:
    def check() -> None:
        begun = time.monotonic()
        assert Person(server).get("/healthz").status_code == 200
        assert Person(server).get("/login").status_code == 200
        # Asking too is a message; the others stay below the limit.
        assert charlie.ask("subscribe", {"topics": ["progress"]})["role"] == "viewer"
        assert time.monotonic() - begun < SERVED_WITHIN

    return check


def memory(server: PortalServer) -> int:
    text = Path(f"/proc/{server.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def dropped(server: PortalServer, reason: str) -> int:
    text = Person(server).get("/metrics").text
    line = f'\nportal_sockets_dropped_total{{process="0",reason="{reason}"}} '
    return int(float(text.split(line)[1].split()[0])) if line in text else 0


def connected(person: Person) -> websocket.WebSocket:
    connection = upgrade(person.server, person.cookie)
    connection.send("40")
    assert said(connection).startswith("40")
    return connection


def closed(connection: websocket.WebSocket) -> bool:
    """Reads until the server hangs up."""
    with suppress(OSError, websocket.WebSocketException):
        while connection.recv():
            pass
    connection.shutdown()
    return not connection.connected


# --- sockets ------------------------------------------------------------------------------------


def test_ten_thousand_subscribes_end_their_socket_and_disturb_nobody(
    server: PortalServer, bella: Person, others_are_served: Any
) -> None:
    before = dropped(server, "flood")
    connection = connected(bella)
    sent = 0
    with suppress(OSError, websocket.WebSocketException):
        for sent in range(10_000):  # noqa: B007 - how far it came
            connection.send('42["subscribe",{"topics":["progress"]}]')
    others_are_served()
    assert closed(connection)
    wait_for(lambda: dropped(server, "flood") == before + 1)
    assert server.log.count("socket subscribed") < 200


def test_pings_of_the_line_itself_count_as_well(server: PortalServer, bella: Person) -> None:
    before = dropped(server, "flood")
    connection = connected(bella)
    with suppress(OSError, websocket.WebSocketException):
        for _ in range(2_000):
            connection.ping("x" * 100)
    assert closed(connection)
    wait_for(lambda: dropped(server, "flood") == before + 1)


def test_twenty_messages_a_second_are_nobodys_flood(bella: Person) -> None:
    connection = connected(bella)
    for number in range(60):
        connection.send(f'42{number}["subscribe",{{"topics":[]}}]')
        assert said(connection).startswith(f"43{number}")
        time.sleep(0.03)  # faster than that for long would be one
    connection.close()


@pytest.mark.parametrize("binary", [False, True])
def test_frame_of_a_megabyte_ends_its_socket(
    bella: Person, others_are_served: Any, binary: bool
) -> None:
    connection = connected(bella)
    with suppress(OSError, websocket.WebSocketException):
        if binary:
            connection.send_binary(b"\0" * MIB)
        else:
            connection.send("42" + json.dumps(["subscribe", "x" * MIB]))
    others_are_served()
    assert closed(connection)


@pytest.mark.parametrize(
    "packets",
    [
        ["45", "451-", '451-["x"]', '451-["x",{"_placeholder":true,"num":0}]'],
        ['459999999-["x",{"_placeholder":true,"num":0}]', b"\1", b"\2"],
        [b"\0\1\2", b"", b"b"],
        ["42" + "[" * 8_000, "42" + '{"a":' * 2_000],
        ["40/admin,", '42/admin,["subscribe"]', '42/..,["x"]', "40/role:admin,{}", "40/,{}"],
        ['42["subscribe",{"topics":["role:admin"]}]', '42["join",{"room":"user:1"}]'],
        ['42["enter_room","session:1"]', '42["subscribe",{"rooms":["role:admin"]}]'],
        ["44", "46", "48", "4", "0", "1", "5", "6", "7", "\U0001f4a5"],
        ['42["connect"]', '42["disconnect"]', '42["message","x"]', '42["*"]', '42["__class__"]'],
        ['42["subscribe",' + "9" * 5_000 + "]", '42["subscribe",1e999]', '42["subscribe",NaN]'],
    ],
    ids=[
        "announced attachments", "many attachments", "binary", "deep JSON", "namespaces", "rooms",
        "other rooms", "kinds of packets", "reserved events", "numbers",
    ],
)  # fmt: skip
def test_malformed_and_forged_packets_do_no_harm(
    bella: Person, others_are_served: Any, packets: list[str | bytes]
) -> None:
    connection = connected(bella)
    with suppress(OSError, websocket.WebSocketException):
        for packet in packets:
            if isinstance(packet, bytes):
                connection.send_binary(packet)
            else:
                connection.send(packet)
    heard: list[str] = []
    connection.settimeout(0.3)
    with suppress(OSError, websocket.WebSocketException):
        while packet := said(connection):
            heard.append(packet)
    connection.shutdown()
    assert [one for one in heard if one.startswith(("42", "40/"))] == [], "it got into a room"
    others_are_served()


def test_raw_bytes_that_are_no_frames_end_the_connection(
    bella: Person, others_are_served: Any
) -> None:
    for data in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 500,
        b"\x81\xff" + b"\x7f" * 8,
        os.urandom(64),
    ):
        connection = connected(bella)
        with suppress(OSError):
            connection.sock.sendall(data)
            connection.sock.shutdown(socket.SHUT_WR)
        assert closed(connection)
    others_are_served()


def test_three_hundred_upgrades_without_a_session_leave_no_socket(
    server: PortalServer, others_are_served: Any
) -> None:
    before = memory(server)
    request = (
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAA\r\n\r\n"
    )
    with ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 20))
            for _ in range(300)
        ]
        for line in lines:
            line.sendall(request)
        others_are_served()
        assert {line.recv(12) for line in lines} == {b"HTTP/1.1 401"}
    assert memory(server) - before < 40 * MIB


def test_one_user_gets_no_more_sockets_than_allowed(
    server: PortalServer, others_are_served: Any
) -> None:
    bob = Person(server, "bob")
    held, refused = [], []
    for _ in range(70):
        try:
            held.append(upgrade(server, bob.cookie))
        except websocket.WebSocketBadStatusException as error:
            refused.append(error.status_code)
    others_are_served()
    for connection in held:
        connection.shutdown()
    assert len(held) == 50
    assert refused == [429] * 20


# --- bodies and headers -------------------------------------------------------------------------


@pytest.fixture
def line(server: PortalServer) -> Iterator[Callable[[], socket.socket]]:
    """Raw connections that are closed in the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 20))


def status(connection: socket.socket) -> int:
    connection.settimeout(20)
    with suppress(ConnectionResetError):
        answer = connection.recv(200)
        # To what is no HTTP there is an answer without a status.
        return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0
    return 0


HEAD = (
    "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
)


def test_body_that_is_too_long_is_413_before_it_is_read(line: Any) -> None:
    connection = line()
    connection.sendall(f"{HEAD}Content-Length: {10**12}\r\n\r\n".encode())
    assert status(connection) == 413


def test_endless_body_in_chunks_is_cut_off(
    server: PortalServer, line: Any, others_are_served: Any
) -> None:
    before = memory(server)
    connection = line()
    connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
    with suppress(OSError):
        for _ in range(40):
            connection.sendall(b"100000\r\n" + b"x" * MIB + b"\r\n")
    others_are_served()
    assert status(connection) in (0, 411)
    assert memory(server) - before < 20 * MIB


def test_body_that_would_grow_when_unpacked_is_never_unpacked(
    server: PortalServer, bella: Person, others_are_served: Any
) -> None:
    before = memory(server)
    bomb = gzip.compress(b"name=" + b"x" * (200 * MIB), compresslevel=9)
    assert len(bomb) < MIB
    answer = bella.http.post(
        f"{server.url}/jobs",
        data=bomb,
        headers={
            "Content-Encoding": "gzip",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        timeout=20,
    )
    assert answer.status_code in (400, 413, 415)
    others_are_served()
    assert memory(server) - before < 20 * MIB


@pytest.mark.parametrize(
    ("request_line", "headers", "wanted"),
    [
        ("GET /" + "x" * 20_000 + " HTTP/1.1", "", (414,)),
        ("GET / HTTP/1.1", "X-Long: " + "x" * 100_000 + "\r\n", (400, 431)),
        ("GET / HTTP/1.1", "".join(f"X-{n}: {'x' * 1000}\r\n" for n in range(100)), (400, 431)),
        ("GET / HTTP/1.1", "Cookie: " + "portal=x; " * 7_000 + "\r\n", (400, 431)),
        ("GET / HTTP/1.1", "X: a\r\n" * 5_000, (400, 431)),
        ("POST /login HTTP/1.1", "Content-Length: -1\r\n", (400,)),
        ("POST /login HTTP/1.1", "Content-Length: x\r\n", (400,)),
        ("GARBAGE", "", (400,)),
    ],
    ids=["address", "header", "headers", "cookie", "many", "negative", "no number", "garbage"],
)
def test_head_that_is_too_long_or_none_is_refused(
    line: Any, others_are_served: Any, request_line: str, headers: str, wanted: tuple[int, ...]
) -> None:
    connection = line()
    with suppress(OSError):
        connection.sendall(f"{request_line}\r\nHost: localhost\r\n{headers}\r\n".encode())
    assert status(connection) in (*wanted, 0)
    others_are_served()


def test_two_hundred_slow_bodies_keep_nobody_waiting(
    server: PortalServer, line: Any, others_are_served: Any
) -> None:
    slow = [line() for _ in range(200)]
    for connection in slow:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\nu".encode())
    for _ in range(3):
        others_are_served()
        for connection in slow:
            connection.sendall(b"x")
    for connection in [line() for _ in range(100)]:
        connection.sendall(b"GET / HTTP/1.1\r\nHos")
    others_are_served()


def test_portal_is_whole_after_all_of_this(server: PortalServer, charlie: Listener) -> None:
    faults = [line for line in server.log.splitlines() if "unhandled error" in line]
    assert faults == []
    assert charlie.events("job_status_change") == []
    assert Person(server).get("/readyz").status_code == 200
