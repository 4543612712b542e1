"""The reader of rclone's lines and the figures made of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from portal.engine import Phase
from portal.engine.failures.exit_codes import is_retryable, reason_for, retryable_reason
from portal.engine.output.progress import ProgressParser
from portal.engine.output.statistics import RcloneStatistics, parse, printable
from portal.engine.output.stderr import LONGEST_LINE, _Lines
from portal.transfers.names import is_name

numbers = st.one_of(
    st.integers(-10, 10**13),
    st.floats(),
    st.sampled_from([None, True, "7", "\n\ud800\u202e", -1, 2**63, 10**400]),
)
files = st.lists(
    st.one_of(
        numbers,
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("name", "size", "bytes", "speed"), numbers)
        ),
    ),
    max_size=11,
)
KEYS = ("bytes", "totalBytes", "transfers", "totalTransfers", "checks", "totalChecks", "listed",
        "deletes", "errors", "elapsedTime", "transferTime", "serverSideMoveBytes")  # fmt: skip
wild = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(KEYS, numbers),
        "transferring": st.one_of(files, numbers),
        "checking": st.one_of(files, numbers),
    },
)
operations = st.sampled_from(["copy", "sync", "move", "check"])


def line(stats):
    return json.dumps({"level": "notice", "msg": "m", "stats": stats}).encode()


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail(raw):
    for text in (raw, b"{" + raw, b'{"stats":' + raw + b"}"):
        parse(text)


def test_deeply_nested_line_is_no_json():
    assert parse(b'{"a":' + b"[" * 60_000).error


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(operations, st.booleans(), st.lists(wild, max_size=5), st.booleans())
@example("copy", False, [{"bytes": 1, "errors": 1, "serverSideMoveBytes": 1}, {}], False)
def test_whatever_rclone_says_a_reading_keeps_its_promises(operation, dry_run, said, succeeded):
    parser = ProgressParser(operation, dry_run)
    readings = [parser.read(parse(line(stats)).statistics) for stats in said]
    final = parser.finish(succeeded)
    before = 0.0
    for reading in [*readings, final] if final else readings:
        percent = reading.percent
        assert percent is None or before <= percent <= 100.0
        assert percent is None or round(percent, 1) == percent
        assert percent is None or reading.total_bytes is not None
        before = before if percent is None else percent
        assert 0 <= reading.bytes_transferred < 2**63
        assert reading.total_bytes is None or reading.bytes_transferred <= reading.total_bytes
        assert reading.speed_bytes >= 0
        assert reading.eta_seconds is None or reading.eta_seconds >= 0
        assert len(reading.current_files) <= 10
        for file in reading.current_files:
            file.name.encode()
            assert is_name(file.name)
            assert file.percent is None or 0 <= file.percent <= 100
    assert not any(reading.percent == 100.0 for reading in readings)
    assert (final is not None and final.percent == 100.0) == succeeded


@given(st.text(), st.integers(2, 50))
def test_shown_text_is_printable_and_bounded(text, limit):
    shown = printable(text, limit)
    assert is_name(shown)
    assert len(shown) <= limit
    shown.encode()


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(1, 40), min_size=1))
def test_lines_do_not_depend_on_how_they_are_cut(lines, cuts):
    whole, cutter, got = b"\n".join(lines), _Lines(), []
    expected = whole.split(b"\n")
    while whole:
        size = cuts[len(got) % len(cuts)]
        got += cutter.feed(whole[:size])
        whole = whole[size:]
    assert [*got, cutter.rest()] == expected


def test_lines_that_are_too_long_are_dropped_and_counted():
    cutter = _Lines()
    got = cutter.feed(b"a\n" + b"x" * LONGEST_LINE)
    got += cutter.feed(b"x" * LONGEST_LINE)
    got += cutter.feed(b"x")
    got += cutter.feed(b"x\nb\n" + b"y" * (LONGEST_LINE + 1) + b"\nc\n")
    assert got == [b"a", b"b", b"c"]
    assert cutter.dropped == 2


def at(elapsed, done, total=1000, **more):
    figures = {"travelled": done, "total_transfers": 1, "transferring": (), **more}
    return RcloneStatistics(bytes=done, total_bytes=total, elapsed=elapsed, **figures)


def test_speed_is_that_of_the_last_three_seconds_and_the_average_at_the_end():
    parser = ProgressParser("copy", dry_run=False)
    parser.read(at(5.0, 0))
    assert parser.read(at(6.0, 100)).speed_bytes == 100  # The five seconds of listing do not count.
    for second in range(7, 12):
        reading = parser.read(at(second, 100))
    assert (reading.speed_bytes, reading.eta_seconds) == (0, None)
    assert parser.read(at(12.0, 700)).speed_bytes == 200
    assert parser.finish(False).speed_bytes == 58


def test_total_is_null_while_listing_and_never_shrinks_for_a_file_that_failed():
    parser = ProgressParser("copy", dry_run=False)
    assert parser.read(at(1, 0, 500)).total_bytes is None
    assert parser.read(at(2, 100)).total_bytes == 1000
    reading = parser.read(at(3, 100, 100, errors=1))
    assert (reading.total_bytes, reading.percent) == (1000, 10.0)
    assert parser.finish(False).percent == 10.0


def test_check_has_a_percent_once_the_listing_stands_still():
    parser = ProgressParser("check", dry_run=False)
    said = [(0, 0, 10), (5, 9, 20), (5, 9, 40), (10, 12, 40), (18, 20, 40)]
    percents = []
    for second, (checks, total, listed) in enumerate(said):
        stats = RcloneStatistics(checks=checks, total_checks=total, listed=listed, elapsed=second)
        percents.append(parser.read(stats).percent)
    assert percents == [None, None, None, 50.0, 90.0]


def test_sync_that_deletes_before_it_has_copied_is_finishing():
    reading = ProgressParser("sync", dry_run=False).read(RcloneStatistics(checks=3, deletes=1))
    assert reading.phase is Phase.FINISHING


@pytest.mark.parametrize(
    ("code", "line", "start"),
    [
        (1, "a: write a: no space left on device", "The destination disk is full"),
        (1, "a: read a: input/output error", "A disk reported an input/output error"),
        (1, "open a: permission denied", "The portal is not allowed to read or write"),
        (1, "a: read-only file system", "A file system is read-only"),
        (1, "something new", "The transfer failed"),
        (3, "", "The source folder does not exist"),
        (7, "", "A fatal error ended the transfer"),
        (42, "", "The transfer failed"),
        (-9, "", "rclone was killed by signal 9 (SIGKILL)"),
        (143, "", "rclone was killed by signal 15 (SIGTERM)"),
        (-63, "", "rclone was killed by signal 63 (unknown)"),
    ],
)
def test_each_end_has_a_sentence(code, line, start):
    assert reason_for(code, False, [line]).startswith(start)
    assert reason_for(code, True, [line]) == "The transfer was stopped."


PASSES = [
    "dial tcp 10.0.0.1:22: connect: connection refused",
    "read tcp 10.0.0.1:5->10.0.0.2:22: read: connection reset by peer",
    "write: broken pipe",
    'Put "https://nas/x": EOF',
    "unexpected EOF",
    "dial tcp 10.0.0.1:22: i/o timeout",
    "net/http: TLS handshake timeout",
    "lookup nas.lan on 127.0.0.53:53: server misbehaving",
    "lookup nas.lan: Temporary failure in name resolution",
    "429 Too Many Requests",
    "operation error S3: PutObject, https response error StatusCode: 503, SlowDown",
    "operation error S3: HeadObject, https response error StatusCode: 500, InternalError",
    "502 Bad Gateway",
    "RESPONSE 504: 504 Gateway Timeout",
    "connect: no route to host",
    "421 Service not available",
]
LASTS = [
    "ssh: handshake failed: ssh: unable to authenticate",
    "https response error StatusCode: 403, api error AccessDenied",
    "api error NoSuchBucket: The specified bucket does not exist",
    "write a: no space left on device",
    "507 Insufficient Storage",
    "405 Method Not Allowed",
    "socks connect tcp 127.0.0.1:1->10.0.0.1:22: connection not allowed by ruleset",
    "lookup nsa.lan: no such host",
    "x509: certificate signed by unknown authority",
    "knownhosts: key mismatch",
    "error reading source root directory: directory not found",
]


@pytest.mark.parametrize("line", PASSES)
@pytest.mark.parametrize("code", [1, 5, 6])
def test_error_that_may_pass_is_tried_again_whatever_the_exit_code(code, line):
    assert is_retryable(code, False, [line])
    assert retryable_reason(["something new", line, "something new"]).retry_words
    assert not is_retryable(code, True, [line])


@pytest.mark.parametrize("line", LASTS)
@pytest.mark.parametrize("code", [1, 5, 6])
def test_error_that_lasts_is_not_tried_again_even_beside_one_that_may_pass(code, line):
    assert not is_retryable(code, False, [line])
    assert not is_retryable(code, False, [PASSES[0], line])
    assert not is_retryable(code, False, [line, PASSES[0]])


def test_error_of_one_file_leaves_the_others_to_another_try():
    denied = "open a: permission denied"
    assert is_retryable(1, False, [denied, PASSES[0]])
    assert is_retryable(5, False, [denied])
    assert not is_retryable(1, False, [denied])


@pytest.mark.parametrize("code", [2, 3, 7, 8, 10, -9, 143])
def test_end_that_no_try_would_change_is_not_tried_again(code):
    assert not is_retryable(code, False, [PASSES[0]])
