"""Frames, for any bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.realtime.fanout.websocket_frames import ProtocolError, Reader, frame
from tests.realtime.fanout.clients import masked, parse


@given(st.lists(st.tuples(st.sampled_from([1, 2, 8, 9, 10]), st.binary(max_size=300))))
def test_frames_are_what_another_parser_reads(frames: list[tuple[int, bytes]]) -> None:
    assert parse(b"".join(frame(payload, kind) for kind, payload in frames)) == (frames, b"")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_lengths_at_the_limits_are_told_in_the_right_form(length: int) -> None:
    assert parse(frame(b"x" * length)) == ([(1, b"x" * length)], b"")


@given(st.lists(st.binary(max_size=400), min_size=1), st.integers(1, 50), st.data())
def test_reader_understands_bytes_however_they_are_cut(
    messages: list[bytes], bite: int, data: st.DataObject
) -> None:
    stream, wanted = b"", []
    for message in messages:
        at = data.draw(st.integers(0, len(message)))
        whole = data.draw(st.booleans())
        if whole:
            stream += masked(message, 0x82)
        else:
            stream += masked(message[:at], 0x02) + masked(b"!", 0x89) + masked(message[at:], 0x80)
            wanted.append((9, b"!"))
        wanted.append((2, message))
    reader = Reader(1000)
    found = []
    for start in range(0, len(stream), bite):
        found += reader.feed(stream[start : start + bite])
    assert found == wanted


@given(st.binary(max_size=200))
def test_reader_survives_any_bytes(data: bytes) -> None:
    reader = Reader(100)
    with contextlib.suppress(ProtocolError):
        for byte in data:
            reader.feed(bytes([byte]))
