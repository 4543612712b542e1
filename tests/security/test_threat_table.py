"""Each defence that docs/security.md claims is shown by a test that exists."""

from __future__ import annotations

import re

from tests.support.project import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
}


def rows() -> list[list[str]]:
    """Of the threat tables: attack, defence, tests."""
    threats = PAGE.split("\n## Threats\n")[1].split("\n## ")[0]
    found = [line.strip("| ").split(" | ") for line in threats.splitlines() if line[:1] == "|"]
    return [row for row in found if row[0] != "attack" and not row[0].startswith("---")]


def test_every_test_that_the_threat_table_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 80
    assert named - TESTS == set()


def test_every_threat_has_a_defence_and_a_test() -> None:
    assert len(rows()) > 40
    for row in rows():
        attack, defence, tests = row
        assert defence, attack
        assert re.findall(r"`test_\w+`", tests), attack


def test_every_file_of_code_that_the_page_names_exists() -> None:
    named = re.findall(r"`(portal/[\w/]+\.py)`", PAGE)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
