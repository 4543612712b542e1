"""Each way to lose data that docs/safety.md names is held by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.project import ROOT

PAGE = (ROOT / "docs" / "safety.md").read_text()
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
}


def rows() -> list[list[str]]:
    """Operation, source, destination, what could go wrong, what holds it, tests."""
    found = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line[:1] == "|"]
    return [row for row in found if row[0] != "operation" and not row[0].startswith("---")]


def test_every_test_that_the_table_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 50
    assert named - TESTS == set()


def test_every_way_to_lose_data_is_held_and_tried() -> None:
    assert len(rows()) > 30
    for row in rows():
        assert len(row) == 6, row
        assert all(row), row
        assert re.findall(r"`test_\w+`", row[5]), row


def test_every_test_of_these_files_stands_in_the_table() -> None:
    """One that nobody reads of is one that nobody misses."""
    own = {
        name
        for file in (
            "test_changed_file_of_the_same_length",
            "test_empty_and_missing_sources",
            "test_markers",
            "test_names_that_meet",
            "test_one_folder_under_two_names",
        )
        for name in re.findall(
            r"^def (test_\w+)", (Path(__file__).parent / f"{file}.py").read_text(), re.MULTILINE
        )
    }
    assert {name for name in own if f"`{name}`" not in PAGE} == set()
