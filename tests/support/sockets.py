"""Sockets of people at a real portal: Socket.IO's own client, and bare WebSockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import socketio
import websocket

from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.waiting import wait_for


class Listener:
    """A Socket.IO client that keeps what it heard."""

    def __init__(self, person: Person) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.disconnected = False
        self.refusal: Any = None
        self.client = socketio.Client(reconnection=False)
        self.client.on("*", lambda event, *data: self.heard.append((event, *data)))
        self.client.on("disconnect", self._on_disconnect)
        self.client.on("connect_error", self._on_refusal)
        self._person = person

    def connect(self) -> Listener:
        self.client.connect(
            self._person.server.url,
            headers={"Cookie": self._person.cookie},
            transports=["websocket"],
            wait_timeout=10,
        )
        return self

    def ask(self, event: str, *data: Any) -> Any:
        return self.client.call(event, data[0] if data else None, timeout=10)

    def events(self, name: str) -> list[Any]:
        return [data for event, data in self.heard if event == name]

    def wait_for(self, name: str, seconds: float = 10) -> Any:
        """The first event of this name."""
        return wait_for(lambda: self.events(name), seconds)[0]

    def _on_disconnect(self, *_reason: object) -> None:
        self.disconnected = True

    def _on_refusal(self, data: Any = None) -> None:
        self.refusal = data


@contextmanager
def listening(person: Person) -> Iterator[Listener]:
    listener = Listener(person)
    try:
        yield listener.connect()
    finally:
        listener.client.disconnect()
        listener.client.shutdown()


def upgrade(server: PortalServer, cookie: str = "", **options: Any) -> websocket.WebSocket:
    """A bare WebSocket that has not yet sent Socket.IO's CONNECT; raises
    ``WebSocketBadStatusException`` where the upgrade is refused."""
    # The library makes an Origin of its own unless told not to.
    options.setdefault("suppress_origin", True)
    address = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
    connection = websocket.create_connection(address, cookie=cookie or None, timeout=10, **options)
    assert str(connection.recv()).startswith("0{"), "engine.io opens with its handshake"
    return connection


def said(connection: websocket.WebSocket) -> str:
    """The next packet but pings, which are answered; empty once the server has closed."""
    while True:
        try:
            packet = connection.recv()
        except websocket.WebSocketConnectionClosedException:
            return ""
        except ConnectionResetError:
            return ""
        text = packet.decode() if isinstance(packet, bytes) else packet
        if text != "2":
            return text
        connection.send("3")


def refused_with(packet: str) -> Any:
    """What a CONNECT_ERROR packet carries."""
    assert packet.startswith("44"), packet
    return json.loads(packet[2:])
