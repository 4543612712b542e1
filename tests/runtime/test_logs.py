"""A log line is one line, whatever somebody called themselves or their job."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.shipped import environment as shipped
from tests.support.project import ROOT

#: Forges a line, erases the screen, colours, rings, goes back to the start, turns the direction.
NASTY = [
    'bob\n2026-01-01T00:00:00Z level=info event="signed in" user=root',
    "bob\r\nlevel=info",
    "bob\x1b[2J\x1b[31m",
    "bob\x07\x08\x00",
    "bob\rroot",
    "bob\u2028root\u2029\x85\x0b\x0c",
    "bob\u202egnp.exe",
    'bob" level=error user="root',
    "bob\\n=x",
]

SCRIPT = """
import json, logging, sys, structlog
from portal.runtime import logging as logs

logs.configure(sys.argv[1])
for text in json.loads(sys.argv[2]):
    structlog.get_logger("portal").info("job ended", user=text, job=text, topics=[text])
    logging.getLogger("library").warning("cannot serve %s", text)
try:
    raise ValueError("first\\nsecond \\x1b[2J")
except ValueError:
    structlog.get_logger("portal").exception("failed", name="x\\ny")
structlog.get_logger("portal").debug("nobody needs this")
"""


@pytest.fixture(scope="module", params=["text", "json"])
def lines(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """The form, and every line that a process wrote of the nasty names and of a failure."""
    done = subprocess.run(
        [shipped.python(), "-c", SCRIPT, request.param, json.dumps(NASTY)],
        cwd=ROOT,
        env=shipped.environment(),
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == b""
    # Not splitlines() of the text alone: what any reader takes for the end of a line counts.
    return request.param, done.stderr.decode().splitlines()


def test_every_entry_is_exactly_one_line(lines: tuple[str, list[str]]) -> None:
    assert len(lines[1]) == 2 * len(NASTY) + 1


def test_no_line_moves_the_cursor_or_the_reading_direction(lines: tuple[str, list[str]]) -> None:
    for line in lines[1]:
        assert line.isprintable(), line


def test_every_line_bears_its_own_time_and_level_first(lines: tuple[str, list[str]]) -> None:
    form, written = lines
    for line in written:
        if form == "text":
            assert line.startswith("timestamp=20")
            assert line.split(" ")[1].startswith("level=")
        else:
            assert {"timestamp", "level", "event"} <= json.loads(line).keys()


def test_nothing_of_what_was_said_is_lost(lines: tuple[str, list[str]]) -> None:
    form, written = lines
    if form == "json":
        assert [json.loads(line)["user"] for line in written[:-1:2]] == NASTY
    assert all("bob" in line for line in written[:-1])
    assert "ValueError: first" in written[-1]
    assert "second" in written[-1]
