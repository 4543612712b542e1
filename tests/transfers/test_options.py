"""Options of a transfer, read from text: ages, sizes, patterns; nothing becomes another option."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.engine import rclone_path
from portal.engine.order.runtime_dir import RuntimeDir
from portal.transfers import options
from portal.transfers.option_kinds import (
    InvalidOption,
    format_age,
    format_size,
    parse_age,
    parse_patterns,
    parse_size,
)
from portal.transfers.options import Options

GOOD = (
    "*.jpg",
    "photos/**",
    "/top.txt",
    "cache/",
    "**/node_modules/**",
    "*.{jpg,png}",
    "[a-z]*",
    "[^0-9]x",
    "[-a]",
    "[a-]",
    "file name with spaces",
    "Straße/東京*",
    r"\[literal\]",
    "--config=/etc/passwd",
    "-v",
    "+ x",
    "# no comment",
    "; neither",
    "!",
    "$(touch x)",
    "a|b",
    "(a)",
    "a+",
    "'; --",
    "*",
    "{a,}",
)
BAD = {
    "***": "three stars",
    "a{b": "never closed",
    "a}b": "no { before",
    "{a,{b}}": "inside another",
    "[abc": "never closed",
    "a]b": "no [ before",
    "[]": "are empty",
    "[!a]": "use",
    "[z-a]": "backwards",
    "[[:alpha:]]": "only plain characters",
    "[a-b-c]": "a - between",
    "{{.*}}": "regular expressions",
    "x\\": "backslash",
    "\\q": "backslash",
    "a\x00b": "a line break or a control character",
    "a\u202eb": "a line break or a control character",
    "x" * 501: "longer than 500",
}


@pytest.mark.parametrize("pattern", BAD)
def test_what_is_no_pattern_is_refused_with_the_line_and_the_reason(pattern: str) -> None:
    with pytest.raises(InvalidOption, match=r"is not a valid pattern") as refused:
        parse_patterns(["*.ok", pattern])
    assert BAD[pattern] in str(refused.value)


def test_patterns_are_trimmed_and_empty_lines_left_out() -> None:
    assert parse_patterns([" *.jpg ", "", "  ", "b/"]) == ("*.jpg", "b/")


def test_more_than_a_hundred_patterns_are_refused() -> None:
    with pytest.raises(InvalidOption, match="at most 100"):
        parse_patterns([f"{number}.txt" for number in range(101)])


def refused_by_rclone(patterns: tuple[str, ...], folder: Path) -> str:
    """What rclone says of these, all as exclusions."""
    runtime_dir = RuntimeDir()
    try:
        rules = runtime_dir.filters(Options(exclude=patterns, include=patterns))
        command = [str(rclone_path(None)), "lsf", "--config", "", f"--filter-from={rules}"]
        return subprocess.run(
            [*command, str(folder)], capture_output=True, check=False, text=True
        ).stderr
    finally:
        runtime_dir.remove()


def test_rclone_takes_every_pattern_that_is_taken_here(tmp_path: Path) -> None:
    assert parse_patterns(list(GOOD)) == GOOD
    assert refused_by_rclone(GOOD, tmp_path) == ""


def test_any_text_is_refused_or_a_pattern_that_rclone_takes(tmp_path: Path) -> None:
    taken: set[str] = set()
    words: set[str] = set()

    @given(st.lists(st.text("ab/*?[]{},^!-\\.+ |()$", min_size=1, max_size=12), max_size=60))
    def read(lines: list[str]) -> None:
        for line in lines:
            try:
                taken.update(parse_patterns([line]))
            except InvalidOption as refused:
                words.add(str(refused))

    read()
    assert len(taken) > 20
    assert all(said.endswith(".") for said in words)
    assert refused_by_rclone(tuple(sorted(taken))[:3000], tmp_path) == ""


def test_ages_and_sizes_are_read_and_written_alike() -> None:
    assert [parse_age(text) for text in ("30min", "12h", "7d", "4 W", "90s", "5m", "")] == [
        1800,
        43_200,
        604_800,
        2_419_200,
        90,
        300,
        None,
    ]
    assert [parse_size(text) for text in ("500M", "1.5G", "10 kib", "7B", "")] == [
        500 * 2**20,
        3 * 2**29,
        10_240,
        7,
        None,
    ]
    assert [parse_size(text) for text in ("1MB", "1 kB", "1.5gb", "1M", "1MiB", "1mi", "1K")] == [
        10**6,
        1000,
        15 * 10**8,
        2**20,
        2**20,
        2**20,
        1024,
    ]
    for text in ("90s", "30min", "12h", "6d", "4w"):
        assert format_age(parse_age(text)) == text
    for text in ("500M", "1536M", "3T", "7B", "500MB", "3KB", "7GB"):
        assert format_size(parse_size(text)) == text


@pytest.mark.parametrize("text", ["soon", "-1h", "1y", "1 2h", "h", "999999w", "1h\n--x", "١h"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_age(text)


@pytest.mark.parametrize("text", ["big", "-1M", "0M", "500", "1e9M", "1M --x", "999999999T", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_size(text)


def test_options_come_back_from_their_column_as_they_went_in() -> None:
    some = Options(include=("*.jpg",), min_age=60, verify=True, retries=0, timezone="Europe/Berlin")
    assert options.from_json(some.to_json()) == some
    assert Options().to_json() == {}
    assert options.from_json(None) == Options()
    assert options.from_json({"gone": 1, "transfers": 8}) == Options(transfers=8)
