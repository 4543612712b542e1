"""Numbers of things in words."""

from __future__ import annotations

import pytest

from portal.transfers.counted import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1_200, "1,200 files")]
)
def test_one_thing_is_one_and_any_other_number_is_several(number: int, words: str) -> None:
    assert counted(number, "file") == words


def test_other_plurals_are_given() -> None:
    assert counted(1, "file differs", "files differ") == "1 file differs"
    assert counted(3, "entry", "entries") == "3 entries"
