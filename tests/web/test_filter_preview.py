"""What the filters of a new job leave of its source, shown before it is made."""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from portal.db.session import session
from portal.models import Job
from tests.support.client import Browser

Preview = Callable[..., Any]


@pytest.fixture
def bob(browser: Callable[..., Browser]) -> Browser:
    return browser("bob")


@pytest.fixture
def source(root: Path) -> Path:
    folder = root / "from"
    for name, length in {
        "a.jpg": 1_000,
        "b.tmp": 10,
        "deep/c d.jpg": 2_000,
        "deep/ü%.txt": 30,
        "big.bin": 3_000_000,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * length)
    (folder / "link.jpg").symlink_to(folder / "a.jpg")
    old = time.time() - 86_400
    os.utime(folder / "b.tmp", (old, old))
    return folder


def words(page: str) -> str:
    part = page.split('<div role="status">')[1].split("</div>", maxsplit=1)[0]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", part))).strip()


def names(page: str) -> list[str]:
    part = page.split('<div role="status">')[1].split("</details>", maxsplit=1)[0]
    return [html.unescape(one) for one in re.findall(r'class="path" title="([^"]*)"', part)]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ({}, ["a.jpg", "b.tmp", "big.bin", "deep/c d.jpg", "deep/ü%.txt"]),
        ({"include": "*.jpg"}, ["a.jpg", "deep/c d.jpg"]),
        ({"include": "*.jpg\r\n*.txt", "exclude": "c*"}, ["a.jpg", "deep/ü%.txt"]),
        ({"exclude": "deep/"}, ["a.jpg", "b.tmp", "big.bin"]),
        ({"include": "/*.jpg"}, ["a.jpg"]),
        ({"max_size": "1M", "exclude": "*.txt"}, ["a.jpg", "b.tmp", "deep/c d.jpg"]),
        ({"min_age": "12h"}, ["b.tmp"]),
        ({"include": "*.none"}, []),
    ],
)
def test_preview_names_what_a_transfer_then_takes(
    bob: Browser,
    source: Path,
    root: Path,
    execute: Any,
    typed: dict[str, str],
    found: list[str],
) -> None:
    form = {"name": "Photos", "operation": "copy", "source": str(source), **typed}
    answer = bob.post("/jobs/preview", form)
    assert answer.status_code == 200
    assert names(answer.text) == found
    number = f"{len(found)} file{'' if len(found) == 1 else 's'} (" if found else "Nothing in"
    assert words(answer.text).startswith(number)
    assert session.scalars(select(Job)).all() == [], "it is only looked at"

    job = bob.post("/jobs", {**form, "destination": str(root / "to")}).location
    execute(int(job.rpartition("/")[2]))
    copied = {str(path.relative_to(root / "to")) for path in (root / "to").rglob("*.*")}
    assert copied == set(found)


def test_form_keeps_what_was_typed_and_stays_open(bob: Browser, source: Path) -> None:
    form = {
        "name": "Not yet <named>",
        "operation": "sync",
        "source": str(source),
        "destination": "somewhere",
        "include": "*.jpg",
        "bandwidth_limit": "nonsense",
        "dry_run": "y",
    }
    page = bob.post("/jobs/preview", form).text
    assert 'value="Not yet &lt;named&gt;"' in page
    assert 'value="sync" checked' in page
    assert 'value="somewhere"' in page
    assert 'value="nonsense"' in page
    assert '<details class="options" id="job-options" open>' in page
    assert "invalid-feedback" not in page, "only what is looked for is judged yet"


def test_only_the_first_by_name_of_many_are_named(bob: Browser, root: Path) -> None:
    (root / "many").mkdir()
    for number in range(1_234):
        (root / "many" / f"{number:04}.txt").write_text("x")
    page = bob.post("/jobs/preview", {"source": str(root / "many")}).text
    assert words(page).startswith("1,234 files (1.2 KiB) match in")
    assert names(page) == [f"{number:04}.txt" for number in range(10)]
    assert "and 1,224 more" in page


@pytest.mark.parametrize(
    ("typed", "field", "problem"),
    [
        ({"source": ""}, "source", "Enter a source."),
        ({"source": "/etc"}, "source", "must be inside"),
        ({"source": "../x"}, "source", "full path"),
        ({"source": ":local,x=y:/etc"}, "source", "write the name of a remote"),
        ({"source": "nas:photos"}, "source", "No remote named"),
        ({"include": "["}, "include", "is not a valid pattern"),
        ({"exclude": "--config=/etc/passwd\n{a"}, "exclude", "is not a valid pattern"),
        ({"max_size": "-5M"}, "max_size", "Use a number and a unit"),
        ({"max_size": "0G"}, "max_size", "above 0"),
        ({"min_age": "-1d"}, "min_age", "Use a number and a unit"),
        ({"min_age": "yesterday"}, "min_age", "Use a number and a unit"),
    ],
)
def test_wrong_filter_is_said_beside_its_field_and_nothing_is_looked_at(
    bob: Browser, source: Path, typed: dict[str, str], field: str, problem: str
) -> None:
    answer = bob.post("/jobs/preview", {"source": str(source), **typed})
    assert answer.status_code == 422
    said = answer.text.split(f'id="{field}-error-1">')[1].split("</div>")[0]
    assert problem in html.unescape(said)
    assert words(answer.text) == ""


@pytest.mark.parametrize("name", ["missing", "from/a.jpg"])
def test_source_that_is_no_folder_breaks_nothing(bob: Browser, source: Path, name: str) -> None:
    path = str(source.parent / name)
    answer = bob.post("/jobs/preview", {"source": path, "include": "*.jpg"})
    assert answer.status_code == 200
    said = words(answer.text)
    assert said
    assert ("There is no such folder." in said) == (name == "missing")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"max_size": "1M"}, "Nothing in"),
        ({"exclude": "*.bin"}, "Nothing in"),
        ({"max_size": "5M"}, "1 file (2.9 MiB) matches in"),
        ({"include": "big.*"}, "1 file (2.9 MiB) matches in"),
        ({}, "1 file (2.9 MiB) matches in"),
    ],
)
def test_source_that_is_one_file_is_judged_by_the_filters_too(
    bob: Browser, source: Path, root: Path, execute: Any, typed: dict[str, str], said: str
) -> None:
    form = {"name": "One", "operation": "move", "source": str(source / "big.bin"), **typed}
    assert words(bob.post("/jobs/preview", form).text).startswith(said)
    bob.post("/jobs", form | {"destination": str(root / "to")})
    execute(1)
    session.remove()
    assert session.get_one(Job, 1).status == "completed"
    moved = said.startswith("1 file")
    assert ((root / "to" / "big.bin").exists(), (source / "big.bin").exists()) == (moved, not moved)
    assert (source / "a.jpg").exists()


def test_hostile_names_are_shown_as_text(bob: Browser, root: Path) -> None:
    (root / "odd").mkdir()
    (root / "odd" / "<script>alert(1)<script>").write_text("x")
    (root / "odd" / "line\nbreak\u202e").write_text("x")
    page = bob.post("/jobs/preview", {"source": str(root / "odd")}).text
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "\\u202e" in page


def test_viewer_may_look_at_nothing(browser: Any, source: Path) -> None:
    assert browser("charlie").post("/jobs/preview", {"source": str(source)}).status_code == 403


def test_enter_in_a_field_starts_the_transfer_rather_than_the_preview(bob: Browser) -> None:
    page = bob.get("/jobs/new").text
    first = re.search(r'<button[^>]*type="submit"[^>]*>', page.split("data-job-form")[1])
    assert first is not None
    assert "formaction" not in first[0]
