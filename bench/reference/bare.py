"""The floor: one frame an event, and a loop of ``socket.send`` over sockets that never block.

Speaks just enough of the protocol for a client to count as connected. Nothing is handled: no
session, no room, no slow client.
"""

import base64
import contextlib
import hashlib
import json
import re
import selectors
import socket
import struct
import sys
import time

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(text: str) -> bytes:
    payload = text.encode()
    if len(payload) < 126:
        return struct.pack("!BB", 0x81, len(payload)) + payload
    return struct.pack("!BBH", 0x81, 126, len(payload)) + payload


_HELLO = frame('0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}') + frame(
    '40{"sid":"x"}'
)


class BareServer:
    def __init__(self, port: int) -> None:
        self.clients: list[socket.socket] = []
        self.ready = selectors.DefaultSelector()
        self.listening = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.ready.register(self.listening, selectors.EVENT_READ, self.accept)
        self.ready.register(sys.stdin, selectors.EVENT_READ, self.command)

    def run(self) -> None:
        print("ready", flush=True)
        while True:
            for key, _ in self.ready.select():
                key.data(key.fileobj)

    def accept(self, _listening: socket.socket) -> None:
        client, _ = self.listening.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ready.register(client, selectors.EVENT_READ, self.shake_hands)

    def shake_hands(self, client: socket.socket) -> None:
        found = re.search(rb"Sec-WebSocket-Key: *(\S+)", client.recv(8192), re.IGNORECASE)
        if found is None:
            self.ready.unregister(client)
            client.close()
            return
        accept = base64.b64encode(hashlib.sha1(found.group(1) + _MAGIC).digest())
        client.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + _HELLO
        )
        client.setblocking(False)
        self.ready.modify(client, selectors.EVENT_READ, self.ignore)
        self.clients.append(client)

    def ignore(self, client: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            if client.recv(8192):
                return
        self.ready.unregister(client)
        self.clients.remove(client)
        client.close()

    def command(self, _stdin: object) -> None:
        order = json.loads(sys.stdin.readline())
        for start in range(order["first"], order["first"] + order["events"], order["tick"]):
            for n in range(start, start + order["tick"]):
                event = {**order["event"], "n": n, "t": time.time()}
                data = frame("42" + json.dumps(["job_progress", event], separators=(",", ":")))
                for client in self.clients:
                    client.send(data)
            time.sleep(order["every"])
        print("done", flush=True)


if __name__ == "__main__":
    BareServer(int(sys.argv[1])).run()
