"""uWebSockets, a socket server in C++, by its Python binding: its own publish and subscribe.

Speaks just enough of the protocol for a client to count as connected. It handles slow clients, and
gathers what is published in one turn of its loop into one write a client; it knows no sessions and
no rights.
"""

import json
import select
import sys
import time
from collections.abc import Iterator
from typing import Any

from socketify import App, CompressOptions, OpCode

_OPEN = '0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'
_CONNECTED = '40{"sid":"x"}'


def opened(ws: Any) -> None:
    ws.subscribe("everyone")
    ws.send(_OPEN, OpCode.TEXT)
    ws.send(_CONNECTED, OpCode.TEXT)


class Commands:
    """Looks each millisecond, in a timer of the loop, whether there is something to emit. The
    loop that the binding brings polls without a pause, and would burn a core while it waits."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.ticks: Iterator[bool] = iter(())
        self.due = 0.0

    def look(self, _data: object) -> None:
        if time.monotonic() < self.due:
            return
        if next(self.ticks, None) is None and select.select([sys.stdin], [], [], 0)[0]:
            line = sys.stdin.readline()
            if not line:
                sys.exit()
            self.ticks = self.emit(json.loads(line))

    def emit(self, order: dict[str, Any]) -> Iterator[bool]:
        for start in range(order["first"], order["first"] + order["events"], order["tick"]):
            for n in range(start, start + order["tick"]):
                event = {**order["event"], "n": n, "t": time.time()}
                text = "42" + json.dumps(["job_progress", event], separators=(",", ":"))
                self.app.publish("everyone", text, OpCode.TEXT)
            self.due = time.monotonic() + order["every"]
            yield True
        print("done", flush=True)


def main() -> None:
    app = App()
    app.ws(
        "/socket.io/",
        {
            "compression": CompressOptions.DISABLED,
            "max_backpressure": 1024 * 1024,
            "idle_timeout": 120,
            "open": opened,
        },
    )
    app.listen({"host": "127.0.0.1", "port": int(sys.argv[1])}, lambda _: None)
    timer = app.loop.uv_loop.create_timer(1, 1, Commands(app).look, None)
    print("ready", flush=True)
    app.loop.uv_loop.run()
    timer.stop()


if __name__ == "__main__":
    main()
