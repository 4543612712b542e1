"""What one process publishes others hear, through a real Redis that breaks and comes back."""

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
from portal.realtime.bus import subscriber as listening
from portal.realtime.bus.messages import (
    LONGEST,
    Kind,
    Message,
    channel,
    decode,
    encode,
    ignored,
    together,
)
from portal.realtime.bus.publisher import Publisher
from portal.realtime.bus.subscriber import Listener
from tests.support.parts import Redis
from tests.support.proxies import FaultyWay
from tests.support.waiting import wait_for

ROOM = "topic:status_change"
#: In which events flow again once Redis is back.
BACK = 5.0


class Ear:
    def __init__(self, url: str, origin: str = "ear") -> None:
        self.messages: list[Message] = []
        self.stands: list[bool] = []
        self.listener = Listener(
            url, origin=origin, heard=self.messages.append, stands=self.stands.append
        )
        self.listener.start()

    @property
    def numbers(self) -> list[int]:
        return [message.payload["n"] for message in self.messages if message.kind is Kind.EVENT]


@pytest.fixture
def mouth(redis: Redis) -> Iterator[Publisher]:
    publisher = Publisher(redis.url)
    yield publisher
    publisher.close()


@pytest.fixture
def ear(redis: Redis) -> Iterator[Ear]:
    made = Ear(redis.url)
    wait_for(lambda: made.stands == [True])
    yield made
    made.listener.stop()


def say(publisher: Publisher, n: int) -> None:
    publisher.publish(Kind.EVENT, ROOM, "job_status_change", {"n": n})


def test_everything_is_heard_in_the_order_of_its_publishing(mouth: Publisher, ear: Ear) -> None:
    for n in range(500):
        say(mouth, n)
    wait_for(lambda: len(ear.messages) == 500)
    assert ear.numbers == list(range(500))
    assert ear.messages[0] == Message(mouth.origin, Kind.EVENT, ROOM, "job_status_change", {"n": 0})
    assert not ear.listener.deaf
    assert not mouth.broken


def test_progress_waits_for_company_and_leaves_with_whatever_cannot_wait(
    mouth: Publisher, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_GATHER_SECONDS", 60)
    for n in range(3):
        mouth.publish(Kind.EVENT, "topic:progress", "job_progress", {"n": n})
    say(mouth, 3)
    wait_for(lambda: ear.numbers == [0, 1, 2, 3])
    monkeypatch.setattr(publishing, "_GATHER_SECONDS", 0.1)
    mouth.publish(Kind.EVENT, "topic:progress", "job_progress", {"n": 4})
    wait_for(lambda: ear.numbers == [0, 1, 2, 3, 4])


def test_process_does_not_hear_itself(redis: Redis, mouth: Publisher, ear: Ear) -> None:
    itself = Ear(redis.url, origin=mouth.origin)
    wait_for(lambda: itself.stands == [True])
    say(mouth, 1)
    wait_for(lambda: ear.numbers == [1])
    other = Publisher(redis.url)
    say(other, 2)
    wait_for(lambda: itself.numbers == [2])  # after 1, which it therefore left out
    other.close()
    itself.listener.stop()


def test_portals_in_two_databases_of_one_redis_do_not_hear_each_other(
    redis: Redis, ear: Ear
) -> None:
    neighbour = Publisher(redis.url.removesuffix("/0") + "/1")
    say(neighbour, 1)
    neighbour.close()
    mine = Publisher(redis.url)
    say(mine, 2)
    wait_for(lambda: ear.numbers == [2])
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
        json.dumps([{"origin": "x", "kind": "event", "event": "x" * LONGEST}]).encode(),
    ],
)
def test_what_is_no_message_is_ignored_and_counted(
    redis: Redis, mouth: Publisher, ear: Ear, data: bytes
) -> None:
    before = ignored.total()
    with redis.client() as client:
        assert client.publish(channel(0), data) >= 1
    say(mouth, 1)
    wait_for(lambda: ear.numbers == [1])
    assert ignored.total() >= before + 1
    assert len(ear.messages) == 1


@given(st.lists(st.integers(0, LONGEST - 100), max_size=20))
def test_messages_go_together_in_their_order_and_never_in_too_long_a_list(sizes: list[int]) -> None:
    said = [Message("x", Kind.EVENT, event=f"{n}{'.' * size}") for n, size in enumerate(sizes)]
    lists = together(map(encode, said))
    assert [message for data in lists for message in decode(data)] == said
    assert len(lists) <= len(sizes)


def test_message_too_long_becomes_a_hint_to_fetch(mouth: Publisher, ear: Ear) -> None:
    mouth.publish(Kind.EVENT, ROOM, "job_status_change", {"name": "x" * LONGEST})
    wait_for(lambda: [message.kind for message in ear.messages] == [Kind.MISSED])


def test_publishing_never_waits_for_a_redis_that_is_gone_and_catches_up(
    redis: Redis, mouth: Publisher, ear: Ear, capfd: pytest.CaptureFixture[str]
) -> None:
    say(mouth, 0)
    wait_for(lambda: ear.numbers == [0])
    redis.kill()
    begun = time.perf_counter()
    for n in range(1, 100):
        say(mouth, n)
    assert time.perf_counter() - begun < 0.5
    wait_for(lambda: mouth.broken and ear.stands == [True, False])
    assert ear.listener.deaf
    redis.start()
    wait_for(lambda: ear.stands == [True, False, True], BACK)
    wait_for(lambda: not mouth.broken, BACK)
    say(mouth, 100)
    wait_for(lambda: ear.numbers[-1] == 100, BACK)
    assert ear.numbers == sorted(ear.numbers)


def test_listener_learns_of_a_redis_that_no_longer_answers(
    redis: Redis, mouth: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_SILENCE_SECONDS", 0.5)
    ear = Ear(redis.url)
    wait_for(lambda: ear.stands == [True])
    redis.freeze()
    try:
        wait_for(lambda: ear.stands == [True, False])
    finally:
        redis.thaw()
    wait_for(lambda: ear.stands[2:3] == [True], BACK)
    ear.listener.stop()
    say(mouth, 1)
    wait_for(lambda: 1 in ear.numbers, BACK)


def test_more_than_can_wait_ends_in_a_hint_to_fetch(
    redis: Redis, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_MOST", 10)
    way = FaultyWay(redis.port)
    mouth = Publisher(f"redis://127.0.0.1:{way.port}/0")
    try:
        way.fault = "refuse"
        say(mouth, 0)
        wait_for(lambda: mouth.broken)
        for n in range(1, 30):
            say(mouth, n)
        way.fault = ""
        wait_for(lambda: 29 in ear.numbers, BACK)
    finally:
        mouth.close()
        way.stop()
    assert ear.messages[0].kind is Kind.MISSED
    assert ear.numbers == list(range(20, 30))


@contextmanager
def black_hole() -> Iterator[str]:
    """An address where connections are made and nothing ever answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def test_what_is_said_last_is_sent_before_the_end_but_nobody_waits_for_long(ear: Ear) -> None:
    with black_hole() as url:
        lost = Publisher(url)
        say(lost, 1)
        begun = time.perf_counter()
        lost.close()
        assert time.perf_counter() - begun < 3


def test_last_words_of_a_short_process_are_heard(redis: Redis, ear: Ear) -> None:
    short = Publisher(redis.url)
    say(short, 1)
    short.close()
    wait_for(lambda: ear.numbers == [1])
