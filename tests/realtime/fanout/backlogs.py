"""What waits for a client, for any socket. Run by test_apart.py in a process of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import engineio
import eventlet
from hypothesis import given
from hypothesis import strategies as st

from portal.realtime.fanout.connection import Connection, State
from portal.realtime.fanout.ping_scheduler import PingScheduler
from portal.realtime.fanout.send_buffer import BACKLOG, FRAME_OVERHEAD, DropCounts
from portal.realtime.fanout.websocket_frames import frame
from tests.realtime.fanout.clients import parse


class PartialSocket:
    """A socket that takes as many bytes of each write as it was told to."""

    def __init__(self, bites: Iterator[int]) -> None:
        self.bites = bites
        self.taken = b""
        self.real, self.peer = socket.socketpair()

    def send(self, data: bytes) -> int:
        bite = next(self.bites)
        if bite == 0:
            raise BlockingIOError
        self.taken += data[:bite]
        return min(bite, len(data))

    def fileno(self) -> int:
        return self.real.fileno()

    def setsockopt(self, *_option: object) -> None: ...

    def shutdown(self, _how: int) -> None: ...

    def close(self) -> None:
        self.real.close()
        self.peer.close()


def open_connection(
    bites: Iterator[int], ended: Callable[[], None] = lambda: None
) -> tuple[Connection, PartialSocket, Any]:
    engine: Any = engineio.Server(async_mode="threading", monitor_clients=False)
    engine.drops = DropCounts()
    engine.pings = PingScheduler(engine)
    engine.rate = engine.burst = 1e9
    taker = PartialSocket(bites)
    connection = engine.sockets["one"] = Connection(engine, "one", ended)
    connection.open(taker, b"")
    return connection, taker, engine


PARTS = st.lists(
    st.tuples(st.sampled_from([None, "a", "b"]), st.integers(0, 300)), min_size=1, max_size=6
)


@given(st.lists(PARTS, max_size=20), st.lists(st.integers(0, 400), max_size=200), st.data())
def test_stream_is_whole_ordered_and_newest_whatever_the_socket_takes(
    runs: list[list[tuple[str | None, int]]], bites: list[int], data: st.DataObject
) -> None:
    patience = iter([*bites, *[1 << 20] * 10_000])
    connection, taker, engine = open_connection(patience)
    try:
        sent: list[tuple[str | None, bytes]] = []
        for run in runs:
            parts = []
            for key, size in run:
                text = f"{key}:{len(sent)}:".encode() + b"x" * size
                sent.append((key, text))
                parts.append((key if key is not None else object(), frame(text)))
            connection.deliver(b"".join(part for _, part in parts), parts)
            if data.draw(st.booleans()):
                connection._flush(taker.fileno())
        for _ in range(1000):
            connection._flush(taker.fileno())
        frames, rest = parse(taker.taken)
        got = [payload for _, payload in frames]
        assert rest == b""
        assert connection._buffer is None
        assert not engine.pings.behind
        every = [text for _, text in sent]
        assert [text for text in every if text in got] == got  # in order, none twice
        assert [text for key, text in sent if key is None] == [
            text for text in got if text.startswith(b"None:")
        ]
        for key in ("a", "b"):
            mine = [text for kind, text in sent if kind == key]
            assert not mine or mine[-1] in got
    finally:
        connection.close(abort=True)


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=60))
def test_what_waits_never_exceeds_the_backlog(sizes: list[int]) -> None:
    connection, taker, _ = open_connection(iter([0] * 1000))
    try:
        total = 0
        for size in sizes:
            data = frame(b"x" * size)
            connection.deliver(data, [(object(), data)])
            total += len(data) + FRAME_OVERHEAD
            buffer = connection._buffer
            assert buffer is None or buffer.size <= BACKLOG
            assert (connection._state is State.FAILED) == (total > BACKLOG)
            assert (buffer is None) == (total > BACKLOG)
        assert taker.taken == b""
    finally:
        connection.close(abort=True)


ENDINGS: dict[str, Callable[[Connection, PartialSocket], None]] = {
    "close": lambda connection, _: connection.close(),
    "abort": lambda connection, _: connection.close(abort=True),
    "drop": lambda connection, _: connection.drop("slow"),
    "client hangs up": lambda connection, _: connection._fail("transport close"),
    "message too much": lambda connection, _: connection._feed(b"no frame"),
    "event": lambda connection, _: connection.deliver(frame(b"x"), [(object(), frame(b"x"))]),
    "socket takes more": lambda connection, taker: connection._flush(taker.fileno()),
    "others run": lambda *_: eventlet.sleep(0),
}


@given(
    st.lists(st.sampled_from(sorted(ENDINGS)), max_size=8),
    st.lists(st.integers(0, 20), max_size=20),
)
def test_end_is_told_once_and_leaves_nothing_whatever_ends_it(
    steps: list[str], bites: list[int]
) -> None:
    told: list[str] = []
    ended: list[bool] = []
    connection, taker, engine = open_connection(
        iter([*bites, *[1 << 20] * 100]), lambda: ended.append(True)
    )
    engine.on("disconnect", lambda _sid, reason: told.append(reason))
    states = [connection._state]
    for step in [*steps, "abort", "others run"]:
        ENDINGS[step](connection, taker)
        states.append(connection._state)
    order = list(State)
    assert states == sorted(states, key=order.index)  # it never goes back
    assert states[-1] is State.CLOSED
    assert len(told) == len(ended) == 1
    assert not engine.sockets
    assert not engine.pings.slow
    assert not engine.pings.behind
    parse(taker.taken)  # what came through is frames, the last perhaps a part of one
