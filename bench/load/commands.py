"""How a server under measurement is told to emit: one JSON object a line on its standard input."""

import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import eventlet
from eventlet.hubs import trampoline


def follow_commands(emit: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Runs in a greenlet. ``emit`` takes the event and the order that it belongs to."""
    print("ready", flush=True)
    for line in _lines():
        order = json.loads(line)
        tick, every, first = order["tick"], order["every"], order["first"]
        if not order["events"]:
            gc.collect()
        for n in range(first, first + order["events"]):
            emit({**order["event"], "n": n, "t": time.time()}, order)
            if (n - first + 1) % tick == 0:
                eventlet.sleep(every)
        print("done", flush=True)


def _lines() -> Iterator[bytes]:
    rest = b""
    while True:
        trampoline(0, read=True)
        data = os.read(0, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
