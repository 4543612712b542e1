"""docs/asvs.md names existing tests, each requirement once, and counts them rightly."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import pytest

from tests.support.project import ROOT

PAGE = (ROOT / "docs" / "asvs.md").read_text()
VERDICTS = ("met", "partly", "not", "n/a")
#: How many requirements ASVS 5.0.0 has, by level.
OF_LEVEL = {1: 70, 2: 183}


class Requirement(NamedTuple):
    number: str
    level: int
    text: str
    verdict: str
    means: str
    shown_by: str

    @property
    def chapter(self) -> str:
        return f"V{self.number.split('.')[0]}"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def requirements() -> list[Requirement]:
    found = [cells(line) for line in PAGE.splitlines() if re.match(r"\| \d+\.\d+\.\d+ \|", line)]
    return [Requirement(number, int(level), *others) for number, level, *others in found]


REQUIREMENTS = requirements()


def gaps() -> list[tuple[str, str]]:
    """Number and verdict of each requirement that the list of gaps explains."""
    missing = PAGE.split("\n## What is missing\n")[1].split("\n## V1 ")[0]
    return [
        (number, verdict)
        for numbers, verdict in re.findall(r"\*\*([\d., ]+)\*\* \((\w+)\)", missing)
        for number in numbers.split(", ")
    ]


def test_each_requirement_appears_once_and_in_its_chapter() -> None:
    numbers = [one.number for one in REQUIREMENTS]
    assert [number for number, times in Counter(numbers).items() if times > 1] == []
    assert Counter(one.level for one in REQUIREMENTS) == OF_LEVEL
    chapters = re.split(r"^## (?=V\d+ )", PAGE, flags=re.MULTILINE)[1:]
    for chapter in chapters:
        inside = re.findall(r"^\| (\d+)\.\d+\.\d+ \|", chapter, re.MULTILINE)
        assert {f"V{number}" for number in inside} == {chapter.split()[0]}


@pytest.mark.parametrize("one", REQUIREMENTS, ids=lambda one: one.number)
def test_each_verdict_is_one_of_four_and_has_what_it_needs(one: Requirement) -> None:
    assert one.verdict in VERDICTS
    assert one.text
    assert one.means
    if one.verdict == "met":
        assert "::test_" in one.shown_by or "](" in one.means, "neither a test nor a document"
    if one.verdict in ("not", "n/a"):
        assert one.shown_by == "–"


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE))
    assert len(named) > 100
    assert len(re.findall(r"::test_", PAGE)) == len(
        re.findall(r"`tests/[\w/]+\.py::test_\w+`", PAGE)
    )
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (ROOT / path).is_file()
        or not re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_counts_at_the_top_are_those_of_the_tables() -> None:
    rows = re.findall(r"^\| (V\d+|all)\b[^|]*((?:\| \d+ ){4})\|$", PAGE, re.MULTILINE)
    told = {name: [int(number) for number in re.findall(r"\d+", row)] for name, row in rows}
    found = Counter((one.chapter, one.verdict) for one in REQUIREMENTS)
    chapters = {one.chapter for one in REQUIREMENTS}
    counted = {name: [found[name, verdict] for verdict in VERDICTS] for name in chapters}
    counted["all"] = [sum(column) for column in zip(*counted.values(), strict=True)]
    assert told == counted


def test_shares_at_the_top_are_those_of_what_applies() -> None:
    told = re.findall(r"Of the (\d+) .+?, (\d+) are met: ([\d.]+) %", PAGE)
    for levels, (apply, met, share) in zip(((1, 2), (1,)), told, strict=True):
        verdicts = Counter(one.verdict for one in REQUIREMENTS if one.level in levels)
        applying = verdicts.total() - verdicts["n/a"]
        assert (int(apply), int(met)) == (applying, verdicts["met"])
        assert share == f"{100 * verdicts['met'] / applying:.1f}"


def test_list_of_gaps_holds_what_is_not_or_only_partly_met() -> None:
    missing = [
        (one.number, one.verdict) for one in REQUIREMENTS if one.verdict in ("not", "partly")
    ]
    assert sorted(gaps()) == sorted(missing)
