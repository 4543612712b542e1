"""A Socket.IO server on wires, which does what the test tells it line by line."""

import warnings

warnings.filterwarnings("ignore", message=r"(?s).*Eventlet is deprecated")

import eventlet  # noqa: E402

eventlet.monkey_patch()

import gc  # noqa: E402 - all of them after the patch
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import socketio  # noqa: E402
from eventlet.hubs import get_hub, trampoline  # noqa: E402
from socketio.exceptions import ConnectionRefusedError as Refused  # noqa: E402

from portal import fanout, logs  # noqa: E402

logs.configure("text")

port, ping_interval, ping_timeout = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
manager = fanout.FanoutManager()
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


def state() -> dict[str, Any]:
    gc.collect()
    hub = get_hub()
    wires = list(server.eio.sockets.values())
    return {
        "left": {
            "rooms": len(manager.rooms),
            "sockets": len(server.eio.sockets),
            "environ": len(server.environ),
            "rooms_of": len(manager._rooms_of),
            "ways": len(manager._ways),
            "apart": len(server.eio.pulse.apart),
            "behind": len(server.eio.pulse.behind),
            "pending": len(manager.pending_connect) + len(manager.pending_disconnect),
        },
        "listeners": sum(map(len, hub.listeners.values())),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "waiting": max((wire._waiting_bytes + len(wire._rest) for wire in wires), default=0),
        "behind": len(server.eio.pulse.behind),
        "dropped": dict(fanout.dropped),
        "ended": len(ended),
    }


def obey(order: dict[str, Any]) -> Any:
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
    door = fanout.Door("127.0.0.1", port)
    eventlet.spawn(fanout.serve, app, door, most_requests=1000, request_timeout=10.0)
    eventlet.sleep(0.1)
    print("ready", flush=True)  # noqa: T201 - what the test hears
    for line in lines():
        print(json.dumps(obey(json.loads(line))), flush=True)  # noqa: T201 - so is this


main()
