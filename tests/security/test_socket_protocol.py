"""Live sockets that send what no client of ours sends are closed and counted; nothing is kept."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import websocket

from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, with_users
from tests.support.sockets import said, upgrade
from tests.support.waiting import wait_for

MIB = 1024 * 1024
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    running = with_users(tmp_path_factory.mktemp("protocol"), migrated, CopiedPortal)
    running.start()
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def charlie(server: PortalServer) -> Person:
    return Person(server, "charlie")


@pytest.fixture
def connected(charlie: Person) -> Iterator[websocket.WebSocket]:
    connection = upgrade(charlie.server, charlie.cookie)
    connection.send("40")
    assert said(connection).startswith("40")
    yield connection
    connection.shutdown()


def dropped(server: PortalServer, reason: str) -> int:
    line = rf'portal_sockets_dropped_total\{{process="0",reason="{reason}"\}} (\d+)'
    found = re.search(line, Person(server).get("/metrics").text)
    return int(found[1]) if found else 0


def memory(server: PortalServer) -> int:
    text = Path(f"/proc/{server.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def close_code(connection: websocket.WebSocket) -> int | None:
    """The code in the portal's close frame; it fails if the portal does not close."""
    with suppress(websocket.WebSocketConnectionClosedException, ConnectionError):
        while True:
            kind, data = connection.recv_data(control_frame=True)
            if kind == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2]) if data else None
    return 0  # without a close frame


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        ('459999999999-["x"]', 1008),
        ('451-["x",{"_placeholder":true,"num":0}]', 1008),
        ('461-1["x"]', 1008),
        ("bAAAA", 1008),
        (b"", 1003),
        (b"\0", 1003),
    ],
    ids=["many", "an event", "an answer", "in Base64", "an empty frame", "a frame"],
)
def test_nothing_binary_is_taken(
    server: PortalServer, connected: websocket.WebSocket, packet: str | bytes, code: int
) -> None:
    before = memory(server)
    with suppress(OSError, websocket.WebSocketException):
        if isinstance(packet, bytes):
            connected.send_binary(packet)
        else:
            connected.send(packet)
        for _ in range(30):  # below the limit of a flood
            connected.send_binary(b"x" * 16_000)
    assert close_code(connected) in (code, 0)  # what was still sent may have overtaken the answer
    assert memory(server) - before < MIB


@pytest.mark.parametrize(
    "packet",
    [
        "42[]", '42{"a":1}', "42", "42[1]", '42[["x"]]', '42["x"', '42["x"]]', '42["x",NaN,]',
        '42["x",' + "9" * 5_000 + "]", "42" + "[" * 8_000, '42["x",' + "[" * 900 + "]" * 900 + "]",
        "1" + "[" * 8_000, "40[" + "[" * 8_000, "40{", "40 ", '43["x"]', "431[]", '44{"a":1}', "47",
        "49", "4", "", "x", "2", "5", "6", "3probe", "42" + "1" * 90 + '["x"]', '42/admin,["x"]',
        "41/admin,", "\N{ARABIC-INDIC DIGIT FOUR}0", '4²["x"]',
    ],
)  # fmt: skip
def test_packet_that_is_broken_ends_the_socket_with_one_line(
    server: PortalServer, connected: websocket.WebSocket, packet: str
) -> None:
    before, logged = dropped(server, "broken packet"), len(server.log)
    connected.send(packet)
    assert close_code(connected) == 1008
    wait_for(lambda: dropped(server, "broken packet") == before + 1)
    wait_for(lambda: "socket dropped" in server.log[logged:])
    lines = [line for line in server.log[logged:].splitlines() if "socket " in line]
    assert sum("socket dropped" in line for line in lines) == 1
    assert "Traceback" not in server.log
    assert "error" not in {line.split("level=")[1].split()[0] for line in lines}


def test_events_that_nobody_handles_write_no_lines(
    server: PortalServer, charlie: Person, connected: websocket.WebSocket
) -> None:
    early = upgrade(server, charlie.cookie)  # has not said CONNECT
    logged = len(server.log)
    for number in range(15):
        connected.send(f'42{number}["what"]')
        early.send('42["subscribe",{"topics":[]}]')
        early.send("40/admin,")
        connected.send("41/,") if number == 14 else None
    assert [said(early)[:2] for _ in range(15)] == ["44"] * 15
    wait_for(lambda: "socket disconnected" in server.log[logged:])
    lines = server.log[logged:].splitlines()
    assert [line for line in lines if "warning" in line or "error" in line] == []
    early.shutdown()


def text(payload: bytes, first: int = 0x81) -> bytes:
    return struct.pack("!BB", first, 0x80 | len(payload)) + bytes(4) + payload


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (text(struct.pack("!H", 1000) + b"bye", 0x88), 1000),
        (text(struct.pack("!H", 4999), 0x88), 4999),
        (text(b"", 0x88), None),
        (text(b"\3", 0x88), 1002),
        *((text(struct.pack("!H", code), 0x88), 1002) for code in (0, 999, 1004, 1005, 1006, 1015)),
        *((text(struct.pack("!H", code), 0x88), 1002) for code in (1016, 2999, 5000, 65535)),
        (text(struct.pack("!H", 1000) + b"\xff", 0x88), 1007),
        (text(b"42\xc3"), 1007),
        (text(b"\xed\xa0\x80"), 1007),
        (text(b"\xc3", 0x01) + text(b"", 0x80), 1007),
        (struct.pack("!BBH", 0x81, 0xFE, 1) + bytes(4) + b"3", 1002),
        (struct.pack("!BBQ", 0x81, 0xFF, 1 << 63) + bytes(4), 1002),
        (text(b"3", 0xA1), 1002),
    ],
)
def test_connection_is_closed_as_the_protocol_says(
    connected: websocket.WebSocket, frames: bytes, code: int | None
) -> None:
    connected.sock.sendall(frames)
    assert close_code(connected) == code


HANDSHAKE = {
    "Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY,
}  # fmt: skip


@pytest.fixture
def answer_to(server: PortalServer, charlie: Person) -> Callable[..., str]:
    """The head of the answer to a handshake of somebody who is signed in."""

    def ask(version: str = "HTTP/1.1", **changed: str | None) -> str:
        named = {name.replace("_", "-"): value for name, value in changed.items()}
        headers = {**HANDSHAKE, "Cookie": charlie.cookie, **named}
        lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value is not None]
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            path = "/socket.io/?EIO=4&transport=websocket"
            connection.sendall(f"GET {path} {version}\r\n{''.join(lines)}\r\n".encode())
            received = connection.recv(65536).decode("latin-1")
        return received.partition("\r\n\r\n")[0]

    return ask


def test_handshake_is_accepted_by_words_in_any_case_and_list(answer_to: Callable[..., str]) -> None:
    for changed in (
        {}, {"Connection": "keep-alive, Upgrade"}, {"Upgrade": "WebSocket"},
        {"Sec_WebSocket_Protocol": "x"}, {"Content_Length": "0"},
    ):  # fmt: skip
        answer = answer_to(**changed)
        assert answer.startswith("HTTP/1.1 101 "), changed
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
        assert "Sec-WebSocket-Protocol" not in answer


@pytest.mark.parametrize("version", ["8", "12", "14", "013", "13, 13", None])
def test_other_version_is_told_which_one_is_spoken(
    answer_to: Callable[..., str], version: str | None
) -> None:
    answer = answer_to(Sec_WebSocket_Version=version)
    assert answer.startswith("HTTP/1.1 426 ")
    assert "sec-websocket-version: 13" in answer.lower()
    assert "\r\nupgrade: websocket" in answer.lower()


@pytest.mark.parametrize(
    "changed",
    [
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "x"},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25j"},
        {"Sec_WebSocket_Key": KEY + ", " + KEY},
        {"Connection": "keep-alive"},
        {"Connection": "xupgrade"},
        {"Upgrade": "websockets"},
        {"Content_Length": "5"},
        {"version": "HTTP/1.0"},
    ],
)
def test_handshake_that_is_none_is_refused(
    answer_to: Callable[..., str], changed: dict[str, str]
) -> None:
    assert answer_to(**changed).startswith("HTTP/1.1 400 ")
