"""A Socket.IO server with our connections, which does what the test tells it line by line."""

import warnings

warnings.filterwarnings("ignore", message=r"(?s).*Eventlet is deprecated")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import fcntl  # noqa: E402 - all of them after the patch
import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import struct  # noqa: E402
import sys  # noqa: E402
import termios  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import greenlet  # noqa: E402
import socketio  # noqa: E402
from eventlet.hubs import get_hub, trampoline  # noqa: E402
from socketio.exceptions import ConnectionRefusedError as Refused  # noqa: E402

from portal.realtime.fanout import server as fanout  # noqa: E402
from portal.realtime.fanout.acceptor import Acceptor  # noqa: E402
from portal.realtime.fanout.manager import FanoutManager  # noqa: E402
from portal.realtime.fanout.send_buffer import DropCounts  # noqa: E402
from portal.runtime import logging  # noqa: E402
from portal.runtime.context import current  # noqa: E402

logging.configure("text")

port, ping_interval, ping_timeout = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
manager = FanoutManager()
server = socketio.Server(
    async_mode="eventlet",
    client_manager=manager,
    monitor_clients=False,
    async_handlers=False,
    transports=["websocket"],
    ping_interval=ping_interval,
    ping_timeout=ping_timeout,
    max_http_buffer_size=16 * 1024,
)
fanout.install(server)
ended: list[str] = []

#: getsockopt's number for what a socket costs the kernel (SO_MEMINFO): nine numbers, of which the
#: sixth is the memory of what was written and not yet acknowledged.
MEMINFO, WRITTEN = 55, 5


@server.on("connect")
def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
    if auth == {"refused": True}:
        raise Refused("no")
    if auth == {"slow": True}:
        eventlet.sleep(0.3)
    server.enter_room(sid, "everyone")


@server.on("enter")
def enter(sid: str, room: str) -> str:
    server.enter_room(sid, room)
    return room


@server.on("leave")
def leave(sid: str, room: str) -> str:
    server.leave_room(sid, room)
    return room


@server.on("disconnect")
def disconnect(sid: str, reason: str) -> None:
    ended.append(reason)


def in_the_kernel(connection: Any) -> dict[str, int]:
    """Bytes that were written and not acknowledged, and the memory that they take."""
    bytes_there = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    books = connection.getsockopt(socket.SOL_SOCKET, MEMINFO, 36)
    return {
        "bytes": struct.unpack("i", bytes_there)[0],
        "memory": struct.unpack("9I", books)[WRITTEN],
    }


def held_for(connection: Any) -> dict[str, int]:
    """What one client costs: here, every object on its way with its books, and in the kernel."""
    there = in_the_kernel(connection._socket)
    buffer = connection._buffer
    waiting = buffer._frames
    objects = [buffer, buffer._chunk, waiting, *waiting, *waiting.values()]
    return {
        "parts": len(waiting),
        "here": buffer.size,
        "objects": sum(map(sys.getsizeof, objects)),
        "kernel": there["bytes"],
        "kernel memory": there["memory"],
    }


def greenlets() -> int:
    """Those that have a stack. Of one that is over, the event loop keeps the shell."""
    found = [one for one in gc.get_objects() if isinstance(one, greenlet.greenlet)]
    return sum(not one.dead for one in found)


def state() -> dict[str, Any]:
    gc.collect()
    hub = get_hub()
    connections = list(server.eio.sockets.values())
    return {
        "left": {
            "rooms": len(manager.rooms),
            "sockets": len(server.eio.sockets),
            "environ": len(server.environ),
            "rooms_of": len(manager._rooms_of),
            "recipients": len(manager._recipients),
            "slow": len(server.eio.pings.slow),
            "behind": len(server.eio.pings.behind),
            "pending": len(manager.pending_connect) + len(manager.pending_disconnect),
        },
        "listeners": sum(map(len, hub.listeners.values())),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "waiting": max(
            (each._buffer.size for each in connections if each._buffer is not None), default=0
        ),
        "behind": len(server.eio.pings.behind),
        "held": [
            held_for(connection)
            for connection in server.eio.pings.behind
            if connection._socket is not None
        ],
        "greenlets": greenlets(),
        "dropped": dict(current()[DropCounts]),
        "ended": len(ended),
    }


def execute(order: dict[str, Any]) -> Any:
    match order["do"]:
        case "emit":
            for event, data in order["events"]:
                server.emit(event, data, to=order.get("room", "everyone"))
                if order.get("every") is not None:
                    eventlet.sleep(order["every"])
            for event, data in order.get("then", ()):
                server.emit(event, data, to="everyone")
        case "drop":
            for sid, _ in list(manager.get_participants("/", "everyone"))[: order["clients"]]:
                server.eio.disconnect(manager.eio_sid_from_sid(sid, "/"))
        case "state":
            return state()
    return None


def lines() -> Iterator[bytes]:
    rest = b""
    while True:
        trampoline(0, read=True)
        data = os.read(0, 1 << 20)
        if not data:
            os._exit(0)
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def main() -> None:
    app = socketio.WSGIApp(server)
    acceptor = Acceptor("127.0.0.1", port)
    eventlet.spawn(fanout.serve, app, acceptor, most_requests=1000, request_timeout=10.0)
    eventlet.sleep(0.1)
    print("ready", flush=True)  # noqa: T201 - what the test hears
    for line in lines():
        print(json.dumps(execute(json.loads(line))), flush=True)  # noqa: T201 - so is this


main()
