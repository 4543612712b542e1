"""Pipes are read to their end, however little time the reader gets."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import IO

import pytest

from portal.engine.process.pipes import PipeReader
from tests.support.waiting import wait_for


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    reading, writing = os.pipe()
    with (
        os.fdopen(writing, "wb", buffering=0) as end,
        os.fdopen(reading, "rb", buffering=0) as beginning,
    ):
        yield beginning, end
        end.close()  # before the other side, which a thread may be reading


def test_a_reader_that_works_long_at_one_piece_is_waited_for(pipe) -> None:
    taken: list[bytes] = []

    def slowly(chunk: bytes) -> None:
        time.sleep(0.5)
        taken.append(chunk)

    reader = PipeReader(pipe[0], slowly, lambda: taken.append(b"end"), name="test")
    reader.start()
    for piece in (b"one", b"two"):
        pipe[1].write(piece)
        time.sleep(0.1)
    pipe[1].close()
    reader.wait(silence=0.2, longest=10)
    assert reader.ended
    assert b"".join(taken) == b"onetwoend"
    assert reader.length == 6


def test_what_waits_in_the_pipe_is_no_silence(pipe) -> None:
    """Its thread gets no turn: it was not even started."""
    reader = PipeReader(pipe[0], lambda chunk: None, lambda: None, name="test")
    time.sleep(0.1)
    silent = time.monotonic() - reader.silent_since()
    assert silent > 0.09
    pipe[1].write(b"something")
    assert time.monotonic() - reader.silent_since() < silent


def test_a_pipe_that_somebody_keeps_open_is_given_up(pipe) -> None:
    reader = PipeReader(pipe[0], lambda chunk: None, lambda: None, name="test")
    reader.start()
    began = time.monotonic()
    reader.wait(silence=0.2, longest=10)
    assert not reader.ended
    assert 0.2 <= time.monotonic() - began < 5


def test_a_pipe_that_is_written_to_without_end_is_given_up(pipe) -> None:
    over = threading.Event()

    def take(chunk: bytes) -> None:
        if not over.is_set():
            pipe[1].write(b"again")

    reader = PipeReader(pipe[0], take, lambda: None, name="test")
    reader.start()
    pipe[1].write(b"first")
    reader.wait(silence=10, longest=0.3)
    assert not reader.ended
    over.set()
    pipe[1].close()
    wait_for(lambda: reader.ended, 5)
