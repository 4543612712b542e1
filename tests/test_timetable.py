"""Bandwidth limits by the time of day: what is read, what is refused, which rate holds when."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import timetable
from portal.engine import rclone_path
from portal.timetable import WEEKDAYS, NoTimetable, Timetable, parse

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
RATES = st.sampled_from(["off", "1", "10M", "512k", "1.5G", "3Mi", "7KiB"])
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
        ("10MB", "a number and a unit"),
        ("-1M", "a number and a unit"),
        ("08:00", "a number and a unit"),
        ("08:00,fast", "a number and a unit"),
        ("08:00,10M,5M", "a number and a unit"),
        ("08:00,1M:2M", "a number and a unit"),
        ("25:00,1M", "no time of day"),
        ("08:60,1M", "no time of day"),
        ("Foo-08:00,1M", "is no day"),
        ("8.00,1M", "no time with its limit"),
        ("08:00,1M 08:00,2M", "there twice"),
        ("08:00,1M Tue-08:00,2M", "there twice"),
        ("08:00,1M --config=/etc/passwd", "no time with its limit"),
        ("1" * 65, "at most 64 characters"),
    ],
)
def test_what_is_no_limit_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(NoTimetable, match=words):
        parse(text)


@given(st.text(max_size=80))
def test_any_text_is_a_limit_or_refused_and_nothing_else(text: str) -> None:
    with suppress(NoTimetable):
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


def test_rclone_takes_what_is_taken_here(tmp_path: Path) -> None:
    for text in ("08:00,10M 19:00,off", "Mon-00:00,512k Sun-23:59,1.5G", "7KiB", "off"):
        flag = f"--bwlimit={table(text)}"
        command = [str(rclone_path(None)), "lsf", "--config", "", flag, str(tmp_path)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0, text
    assert timetable.LENGTH == 64
