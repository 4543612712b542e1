"""What one process publishes others receive, through a real Redis that breaks and comes back."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.realtime.bus import publisher as publishing
from portal.realtime.bus import subscriber as subscribing
from portal.realtime.bus.messages import (
    MAX_LENGTH,
    IgnoredMessages,
    Kind,
    Message,
    channel,
    decode,
    encode,
    join_messages,
)
from portal.realtime.bus.publisher import Publisher
from portal.realtime.bus.subscriber import Subscriber
from portal.runtime.context import current
from tests.support.parts import Redis
from tests.support.proxies import FaultyWay
from tests.support.waiting import wait_for

ROOM = "topic:status_change"
#: In which events flow again once Redis is back.
BACK = 5.0


class Received:
    def __init__(self, url: str, origin: str = "received") -> None:
        self.messages: list[Message] = []
        self.statuses: list[bool] = []
        self.subscriber = Subscriber(
            url, origin=origin, on_message=self.messages.append, on_status=self.statuses.append
        )
        self.subscriber.start()

    @property
    def numbers(self) -> list[int]:
        return [message.payload["n"] for message in self.messages if message.kind is Kind.EVENT]


@pytest.fixture
def publisher(redis: Redis) -> Iterator[Publisher]:
    publisher = Publisher(redis.url)
    yield publisher
    publisher.close()


@pytest.fixture
def received(redis: Redis) -> Iterator[Received]:
    made = Received(redis.url)
    wait_for(lambda: made.statuses == [True])
    yield made
    made.subscriber.stop()


def publish(publisher: Publisher, n: int) -> None:
    publisher.publish(Kind.EVENT, ROOM, "job_status_change", {"n": n})


def test_messages_arrive_in_the_order_of_publishing(
    publisher: Publisher, received: Received
) -> None:
    for n in range(500):
        publish(publisher, n)
    wait_for(lambda: len(received.messages) == 500)
    assert received.numbers == list(range(500))
    assert received.messages[0] == Message(
        publisher.origin, Kind.EVENT, ROOM, "job_status_change", {"n": 0}
    )
    assert not received.subscriber.disconnected
    assert not publisher.broken


def test_progress_waits_for_more_and_leaves_with_what_cannot_wait(
    publisher: Publisher, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_GATHER_SECONDS", 60)
    for n in range(3):
        publisher.publish(Kind.EVENT, "topic:progress", "job_progress", {"n": n})
    publish(publisher, 3)
    wait_for(lambda: received.numbers == [0, 1, 2, 3])
    monkeypatch.setattr(publishing, "_GATHER_SECONDS", 0.1)
    publisher.publish(Kind.EVENT, "topic:progress", "job_progress", {"n": 4})
    wait_for(lambda: received.numbers == [0, 1, 2, 3, 4])


def test_process_does_not_receive_its_own_messages(
    redis: Redis, publisher: Publisher, received: Received
) -> None:
    itself = Received(redis.url, origin=publisher.origin)
    wait_for(lambda: itself.statuses == [True])
    publish(publisher, 1)
    wait_for(lambda: received.numbers == [1])
    other = Publisher(redis.url)
    publish(other, 2)
    wait_for(lambda: itself.numbers == [2])  # after 1, which it therefore left out
    other.close()
    itself.subscriber.stop()


def test_portals_in_two_databases_of_one_redis_do_not_receive_from_each_other(
    redis: Redis, received: Received
) -> None:
    neighbour = Publisher(redis.url.removesuffix("/0") + "/1")
    publish(neighbour, 1)
    neighbour.close()
    mine = Publisher(redis.url)
    publish(mine, 2)
    wait_for(lambda: received.numbers == [2])
    mine.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04K\x01.",  # a pickle
        b"nothing",
        b"[]",
        b"[[]]",
        b"{}",
        b"[" * 5000,
        b'[{"origin": "x", "kind": "unheard of"}]',
        b'[{"origin": "x", "kind": "event", "more": 1}]',
        b'[{"origin": "x", "kind": "event", "room": 1}]',
        b'[{"origin": "x", "kind": "event", "payload": []}]',
        json.dumps([{"origin": "x", "kind": "event", "event": "x" * MAX_LENGTH}]).encode(),
    ],
)
def test_invalid_message_is_ignored_and_counted(
    redis: Redis, publisher: Publisher, received: Received, data: bytes
) -> None:
    before = current()[IgnoredMessages].total()
    with redis.client() as client:
        assert client.publish(channel(0), data) >= 1
    publish(publisher, 1)
    wait_for(lambda: received.numbers == [1])
    assert current()[IgnoredMessages].total() >= before + 1
    assert len(received.messages) == 1


@given(st.lists(st.integers(0, MAX_LENGTH - 100), max_size=20))
def test_messages_go_together_in_their_order_and_never_in_too_long_a_list(sizes: list[int]) -> None:
    said = [Message("x", Kind.EVENT, event=f"{n}{'.' * size}") for n, size in enumerate(sizes)]
    lists = join_messages(map(encode, said))
    assert [message for data in lists for message in decode(data)] == said
    assert len(lists) <= len(sizes)


def test_message_too_long_asks_to_fetch(publisher: Publisher, received: Received) -> None:
    publisher.publish(Kind.EVENT, ROOM, "job_status_change", {"name": "x" * MAX_LENGTH})
    wait_for(lambda: [message.kind for message in received.messages] == [Kind.RESYNC])


def test_publishing_never_waits_for_a_redis_that_is_gone_and_catches_up(
    redis: Redis, publisher: Publisher, received: Received, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(publisher, 0)
    wait_for(lambda: received.numbers == [0])
    redis.kill()
    begun = time.perf_counter()
    for n in range(1, 100):
        publish(publisher, n)
    assert time.perf_counter() - begun < 0.5
    wait_for(lambda: publisher.broken and received.statuses == [True, False])
    assert received.subscriber.disconnected
    redis.start()
    wait_for(lambda: received.statuses == [True, False, True], BACK)
    wait_for(lambda: not publisher.broken, BACK)
    publish(publisher, 100)
    wait_for(lambda: received.numbers[-1] == 100, BACK)
    assert received.numbers == sorted(received.numbers)


def test_subscriber_notices_a_redis_that_no_longer_answers(
    redis: Redis, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "_SILENCE_SECONDS", 0.5)
    received = Received(redis.url)
    wait_for(lambda: received.statuses == [True])
    redis.freeze()
    try:
        wait_for(lambda: received.statuses == [True, False])
    finally:
        redis.thaw()
    wait_for(lambda: received.statuses[2:3] == [True], BACK)
    received.subscriber.stop()
    publish(publisher, 1)
    wait_for(lambda: 1 in received.numbers, BACK)


def test_more_than_can_wait_ends_in_a_hint_to_fetch(
    redis: Redis, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_MAX_WAITING", 10)
    way = FaultyWay(redis.port)
    publisher = Publisher(f"redis://127.0.0.1:{way.port}/0")
    try:
        way.fault = "refuse"
        publish(publisher, 0)
        wait_for(lambda: publisher.broken)
        for n in range(1, 30):
            publish(publisher, n)
        way.fault = ""
        wait_for(lambda: 29 in received.numbers, BACK)
    finally:
        publisher.close()
        way.stop()
    assert received.messages[0].kind is Kind.RESYNC
    assert received.numbers == list(range(20, 30))


@contextmanager
def black_hole() -> Iterator[str]:
    """An address where connections are made and nothing ever answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def test_last_messages_are_sent_on_close_but_nobody_waits_for_long(received: Received) -> None:
    with black_hole() as url:
        lost = Publisher(url)
        publish(lost, 1)
        begun = time.perf_counter()
        lost.close()
        assert time.perf_counter() - begun < 3


def test_last_message_of_a_short_process_arrives(redis: Redis, received: Received) -> None:
    short = Publisher(redis.url)
    publish(short, 1)
    short.close()
    wait_for(lambda: received.numbers == [1])
