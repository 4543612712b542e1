"""What rclone's short answers mean, in the words that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portal.engine import Remote
from portal.engine.answers import listing
from portal.engine.answers.listing import ListingReader
from portal.engine.answers.run_once import RcloneAnswer

THERE = Remote("there", "webdav", {"url": "http://198.51.100.1"})


def answer(exit_code: int = 0, output: bytes = b"", *errors: str, **more: Any) -> RcloneAnswer:
    facts = {"cut": False, "full": False, "seconds": 0.1} | more
    return RcloneAnswer(exit_code, output, errors, errors, **facts)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answer(), None),
        (answer(1, full=True), None),  # there was more than was read, which is no error
        (answer(1, cut=True), "There was no answer within 20 s. Check the address"),
        (answer(3), "There is no such folder."),
        (answer(2), "What answers there makes no sense to rclone. Check the address."),
        (answer(1, b"", "it has hiccups"), "It failed. rclone says: it has hiccups"),
        (
            answer(1, b"", "dial tcp: connection refused"),
            "The storage's server refuses the connection.",
        ),
    ],
)
def test_answer_has_a_sentence_unless_all_is_well(given: RcloneAnswer, said: str | None) -> None:
    problem = listing.problem(given, 20.0)
    assert problem == said if said is None else str(problem).startswith(said)


def test_failure_without_a_word_has_a_sentence_too() -> None:
    problem = listing.problem(answer(7), 20.0)
    assert problem
    assert "rclone says" not in problem


def test_long_words_of_rclone_are_cut() -> None:
    problem = listing.problem(answer(1, b"", "hiccup " * 1000), 20.0)
    assert str(problem).endswith("…")
    assert len(str(problem)) < 1000


FILE = b'{"Path":"a","Name":"a","Size":1,"IsDir":false}'


@pytest.mark.parametrize(
    ("output", "names", "is_whole"),
    [
        (b"[\n" + FILE + b"\n]\n", ["a"], True),
        (b"[\n]\n", [], True),
        (b"[\n" + FILE + b",\n", ["a"], False),  # its end is missing
        (b"[\nnonsense,\n" + FILE + b"\n]\n", ["a"], False),
        (b'[\n{"Path":1,"Name":"b"},\n' + FILE + b"\n]\n", ["a"], False),
        (b"[\n" + b"[" * 100_000 + b",\n" + FILE + b"\n]\n", ["a"], False),
        (b"", [], False),
    ],
)
def test_list_that_is_not_whole_is_never_taken_for_one(
    output: bytes, names: list[str], is_whole: bool
) -> None:
    reader = ListingReader(answer(0, output))
    assert [entry["Name"] for entry in reader.entries()] == names
    assert (reader.problem is None) is is_whole
    told = ListingReader(answer(1, output))
    assert list(told.entries())[:1] == list(reader.entries())[:1]
    assert told.problem is None, "rclone's own error says it"


@pytest.mark.parametrize(("exit_code", "lists"), [(0, True), (2, True), (3, False), (1, False)])
def test_what_lists_a_folder_that_cannot_exist_is_no_storage(
    monkeypatch: pytest.MonkeyPatch, exit_code: int, lists: bool
) -> None:
    asked: list[str] = []

    def answers(_rclone: Path, wanted: list[str], *_more: Any, **_named: Any) -> RcloneAnswer:
        asked.append(wanted[-1])
        return answer(exit_code)

    monkeypatch.setattr(listing, "run_once", answers)
    for _ in range(2):
        assert listing.answers_to_anything(Path("rclone"), THERE, seconds=1) is lists
    assert asked[0] != asked[1], "nobody can have made it"
