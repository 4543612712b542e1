"""Retired words stay retired: docs/glossary.md has those that took their place."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.project import ROOT

#: Refused wherever they stand: names, comments, pages and documents.
WORDS = re.findall(
    r"\w+",
    """
    Bell bell bells Doorbell doorbell rung came_back GIVE_BACK LAPSED Ledger ledger Lifeline
    Lobby lobby Outlet outlet Wire wire Pulse Blackening blackening Governor Workplace workplace
    mourn Gate gate KnownHosts AnyRelease half_way same_caller recent_caller take_back
    give_back fall_behind hang_up see_off look_ahead touch_row owner_mark NoTimetable sealing
    dialer ladder close_ears end_at_once go_on lost_to step_aside has_arrived has_news door doors
    seal seals wish wishes
    """,
)
#: Refused as names in Python; as everyday words in a sentence they are fine.
NAMES = re.findall(
    r"\w+",
    """
    Door Hold Standing Seen Told Way Guard Polls Memo Cookies Half Compressed Caller Lives
    Moment Wish Typed Seat Order Sighting Given Asked Shown Embedded Idle Places Presence Orders
    obey Refusal USUAL restored sealed checked rung_at deaf exclusively glance worked proofs
    Arrived Once Said believed greet told took Deed Sight Elsewhere Named Later may_pass
    hashed rehashed unpacked obscured carried made_of said
    """,
)

#: Of which rooms_by_name is asked: those, and one that stands there.
LOOKED_FOR = {*NAMES, "Plan"}


def room_of(path: Path) -> str:
    return "/".join(path.relative_to(ROOT).parts[:2])


def sources(*suffixes: str) -> Iterator[Path]:
    for folder in ("portal", "static/js", "templates", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes:
                yield path


@cache
def rooms_by_word() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in sources(".py", ".js", ".html", ".md", ".txt"):
        for word in set(re.findall(r"\w+", path.read_text())):
            found.setdefault(word.lstrip("_"), set()).add(room_of(path))
    return found


@cache
def rooms_by_name() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in sources(".py"):
        # A name is a word of the text. To find that there is none takes a tenth of the time.
        if LOOKED_FOR.isdisjoint(w.lstrip("_") for w in re.findall(r"\w+", path.read_text())):
            continue
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.NAME:
                    found.setdefault(token.string.lstrip("_"), set()).add(room_of(path))
    return found


@pytest.mark.parametrize("word", WORDS)
def test_retired_word_is_used_nowhere(word: str) -> None:
    assert rooms_by_word().get(word, set()) == set()


@pytest.mark.parametrize("name", NAMES)
def test_retired_name_is_used_nowhere(name: str) -> None:
    assert rooms_by_name().get(name, set()) == set()


def test_retired_words_are_found_where_they_stand() -> None:
    assert "portal/engine" in rooms_by_word()["rclone"]
    assert "portal/engine" in rooms_by_name()["Plan"]


def test_glossary_has_each_word_once() -> None:
    rows = re.findall(r"^\| ([\w ,-]+) \| ", (ROOT / "docs" / "glossary.md").read_text(), re.M)[1:]
    words = [word for row in rows for word in row.split(", ")]

    assert {"transfer", "job", "claim", "lease", "heartbeat", "slot", "plan"} <= set(words)
    assert len(words) == len(set(words))
    assert not set(words) & {*WORDS, *NAMES}
