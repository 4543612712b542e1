"""Bandwidth limits by the time of day: what is read, what is refused, which rate holds when."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.engine import rclone_path
from portal.transfers import bandwidth
from portal.transfers.bandwidth import (
    WEEKDAYS,
    InvalidBandwidth,
    Timetable,
    parse,
)

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
RATES = st.sampled_from(["off", "1B", "10M", "512k", "1.5G", "3Mi", "7KiB"])
TIMES = st.tuples(st.integers(0, 23), st.integers(0, 59))


@st.composite
def tables(draw: st.DrawFn) -> str:
    times = draw(st.lists(TIMES, min_size=1, max_size=4, unique=True))
    days = draw(st.sampled_from(["", *(f"{day}-" for day in WEEKDAYS)]))
    return " ".join(f"{days}{hour}:{minute:02},{draw(RATES)}" for hour, minute in times)


def table(text: str) -> Timetable:
    found = parse(text)
    assert found is not None
    return found


def rate(text: str, days: int, time: str) -> str:
    hour, minute = time.split(":")
    moment = MONDAY + timedelta(days=days, hours=int(hour), minutes=int(minute))
    return table(text).rate_at(moment)


def test_empty_text_is_no_limit() -> None:
    assert parse("") is None
    assert parse("  ") is None


def test_single_rate_holds_at_all_times() -> None:
    assert str(table(" 10M ")) == "10M"
    assert {rate("10M", day, "03:00") for day in range(7)} == {"10M"}
    assert str(table("OFF")) == "off"


def test_rate_changes_at_each_time_and_lasts_over_midnight() -> None:
    office = "08:00,10M 19:00,off"
    assert [rate(office, 0, time) for time in ("07:59", "08:00", "18:59", "19:00")] == [
        "off",
        "10M",
        "10M",
        "off",
    ]


def test_weekday_holds_from_its_minute_until_the_next_slot_of_the_week() -> None:
    week = "Mon-08:00,1M Fri-18:30,off"
    assert rate(week, 0, "07:00") == "off", "since Friday of the week before"
    assert rate(week, 3, "23:00") == "1M"
    assert rate(week, 4, "18:30") == "off"
    assert rate(week, 6, "23:59") == "off"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("very much", "a number and a unit"),
        ("-1M", "a number and a unit"),
        ("08:00", "a number and a unit"),
        ("08:00,fast", "a number and a unit"),
        ("08:00,10M,5M", "a number and a unit"),
        ("08:00,1M:2M", "a number and a unit"),
        ("25:00,1M", "not a time"),
        ("08:60,1M", "not a time"),
        ("Foo-08:00,1M", "not a weekday"),
        ("8.00,1M", "needs a limit"),
        ("08:00,1M 08:00,2M", "appears twice"),
        ("08:00,1M Tue-08:00,2M", "appears twice"),
        ("08:00,1M --config=/etc/passwd", "needs a limit"),
        ("1" * 65, "at most 64 characters"),
    ],
)
def test_what_is_no_limit_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(InvalidBandwidth, match=words):
        parse(text)


@given(st.text(max_size=80))
def test_any_text_is_a_limit_or_refused_and_nothing_else(text: str) -> None:
    with suppress(InvalidBandwidth):
        found = parse(text)
        assert found is None or parse(str(found)) == found


@given(tables(), st.integers(0, 7 * 24 * 60 - 1))
def test_rate_of_a_minute_is_that_of_the_last_slot_before_it(text: str, minutes: int) -> None:
    found = table(text)
    moment = MONDAY + timedelta(minutes=minutes)
    # Walk back minute by minute until one of the slots begins.
    starts = {minute: slot.rate for slot in found.slots for minute in slot.begins}
    walk = minutes
    while walk % (7 * 24 * 60) not in starts:
        walk -= 1
    assert found.rate_at(moment) == starts[walk % (7 * 24 * 60)]
    assert parse(str(found)) == found


#: Bytes a second, and how the page says it.
MEANT = {
    "10M": (10 * 1024**2, "10 MiB/s"),
    "10MiB": (10 * 1024**2, "10 MiB/s"),
    "10 MiB/s": (10 * 1024**2, "10 MiB/s"),
    "10M/s": (10 * 1024**2, "10 MiB/s"),
    "10 m": (10 * 1024**2, "10 MiB/s"),
    "1.5g": (1.5 * 1024**3, "1.5 GiB/s"),
    "512k": (512 * 1024, "512 KiB/s"),
    "10MB": (10_000_000, "10 MB/s"),
    "10 MB/s": (10_000_000, "10 MB/s"),
    "10mB/s": (10_000_000, "10 MB/s"),
    "2.5 GB/s": (2_500_000_000, "2.5 GB/s"),
    "640kB/s": (640_000, "640 kB/s"),
    "100 Mbit/s": (12_500_000, "12.5 MB/s"),
    "100Mbps": (12_500_000, "12.5 MB/s"),
    "8 kbit/s": (1000, "1 kB/s"),
    "100B": (100, "100 B/s"),
    "100000B": (100_000, "100 kB/s"),
    "1234567B": (1_234_567, "1234.567 kB/s"),
    "off": (None, "no limit"),
}


@pytest.mark.parametrize(("text", "meant"), MEANT.items())
def test_unit_means_what_it_says_and_is_said_back(
    text: str, meant: tuple[float | None, str], tmp_path: Path
) -> None:
    number, said = meant
    kept = str(table(text))
    assert bandwidth.words(kept) == said
    assert table(f"08:00,{text} 19:00,off").slots[0].rate == kept
    in_table = f"{said} from 08:00, no limit from 19:00"
    assert bandwidth.words(str(table(f"08:00,{text} 19:00,off"))) == in_table
    # rclone itself says what it takes that for.
    command = [str(rclone_path(None)), "rc", "--loopback", "core/bwlimit", f"rate={kept}"]
    answer = subprocess.run(
        command, capture_output=True, check=True, env={"HOME": str(tmp_path), "PATH": ""}
    )
    told = json.loads(answer.stdout)["bytesPerSecond"]
    assert told == (-1 if number is None else number)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("100000", "100000B is bytes per second, 100000K is KiB, 100000M is MiB"),
        ("10", "Add a unit: 10B"),
        ("1.5", "Add a unit: 1.5B"),
        ("08:00,512 18:00,off", "Add a unit: 512B"),
        ("10Mb/s", "Use 10MB/s or 10Mbit/s"),
        ("10 mb", "Use 10mB/s or 10mbit/s"),
        ("5kb", "a lowercase b may mean bytes or bits"),
        ("0", "0 is not a limit"),
        ("0M", "0 is not a limit"),
        ("0.000 MB/s", "0 is not a limit"),
        ("08:00,0 18:00,5M", "0 is not a limit"),
        ("0.5B", "from 1B to"),
        ("1bit/s", "from 1B to"),
        ("999999999P", "from 1B to"),
        ("9999999999999M", "from 1B to"),
        ("99999999999999999999B", "a number and a unit"),
        ("-5M", "a number and a unit"),
        ("+5M", "a number and a unit"),
        ("1e6B", "a number and a unit"),
        ("\uff11\uff10M", "a number and a unit"),
        ("\u0661\u0660M", "a number and a unit"),
        ("10 furlongs", "a number and a unit"),
        ("10Mib/h", "a number and a unit"),
        ("10 M B", "a number and a unit"),
        ("08:00,10 19:00,off", "Add a unit: 10B"),
        ("08:00,10 off", "a number and a unit"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_with_both(text: str, words: str) -> None:
    with pytest.raises(InvalidBandwidth, match=re.compile(re.escape(words), re.IGNORECASE)):
        parse(text)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("100000", "100000 KiB/s"),
        ("0", "no limit"),
        ("0M", "no limit"),
        ("0.5b", "no limit"),
        ("08:00,512 18:00,0", "512 KiB/s from 08:00, no limit from 18:00"),
        ("10M", "10 MiB/s"),
        (None, "none"),
        ("", "none"),
    ],
)
def test_row_of_an_older_release_is_read_as_rclone_read_it(row: str | None, said: str) -> None:
    assert bandwidth.words(row) == said


@given(st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,3})?(b|[kmg](ib?)?)?", fullmatch=True))
def test_every_rate_that_a_row_may_hold_can_be_said(row: str) -> None:
    found = bandwidth.from_row(row)
    assert found is not None
    assert bandwidth.words(row)


def test_limit_that_grows_too_long_for_its_row_is_refused() -> None:
    times = " ".join(f"{hour:02}:00,9GB/s" for hour in range(5))
    assert len(times) <= bandwidth.LENGTH
    with pytest.raises(InvalidBandwidth, match="too long"):
        parse(times)


def test_rclone_takes_what_is_taken_here(tmp_path: Path) -> None:
    for text in ("08:00,10M 19:00,off", "Mon-00:00,512k Sun-23:59,1.5G", "7KiB", "off"):
        flag = f"--bwlimit={table(text)}"
        command = [str(rclone_path(None)), "lsf", "--config", "", flag, str(tmp_path)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0, text
    assert bandwidth.LENGTH == 64
