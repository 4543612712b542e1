"""What may stand in a name, wherever one is typed, listed or shown."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal.engine.output.statistics import printable
from portal.errors import Invalid
from portal.presentation.formatting import printable as shown
from portal.transfers import locations, option_kinds, validation
from portal.transfers.local_paths import PathRefused, Roots
from portal.transfers.names import (
    BIDI_CONTROLS,
    is_line,
    is_name,
    visible,
)
from tests.support.client import Browser
from tests.support.transfers import status_of, tree

#: Names that people have: ideographic and no-break spaces, joiners, an emoji made of four, private
#: use, one that is newer than Python's table, combining marks, a soft hyphen, a byte order mark.
PLAIN = [
    "写真\u30002024",
    "10\u00a0000",
    "می\u200cخواهم",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "logo \uf8ff",
    "\U0001fae9 new",
    "e\u0301te\u0301",
    "co\u00adop",
    "\ufeffbegin",
    "\U0010fffd",
]
BROKEN = ["a\nb", "a\x00b", "a\x7fb", "a\x85b", "a\x9bb", "a\u2028b", "a\u2029b"]
TURNED = [f"a{control}b" for control in sorted(BIDI_CONTROLS)]


@given(st.text(st.characters(exclude_categories=[])))
@example("\ud800")
@example("a\u202eb")
@example("写真\u3000")
def test_rule_is_that_of_the_categories_and_what_is_shown_is_a_name(text: str) -> None:
    broken = any(unicodedata.category(one) in ("Cc", "Zl", "Zp", "Cs") for one in text)
    assert is_line(text) == (not broken)
    assert is_name(text) == (not broken and not BIDI_CONTROLS & set(text))
    assert is_name(visible(text))
    assert (visible(text) == text) == is_name(text)
    visible(text).encode()
    assert shown(text) == visible(text)
    assert printable(text, 10_000) == visible(text)


def test_what_breaks_a_line_is_what_unicode_says() -> None:
    every = map(chr, range(sys.maxunicode + 1))
    wrong = [
        one
        for one in every
        if is_line(one) == (unicodedata.category(one) in ("Cc", "Zl", "Zp", "Cs"))
    ]
    assert wrong == []


@given(st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"])))
def test_all_other_characters_are_names(text: str) -> None:
    assert is_name("".join(one for one in text if one not in BIDI_CONTROLS))


def test_bidi_controls_are_those_of_unicode() -> None:
    classes = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    told = {chr(code) for code in range(0x3000) if unicodedata.bidirectional(chr(code)) in classes}
    assert told < BIDI_CONTROLS
    assert {unicodedata.name(mark) for mark in BIDI_CONTROLS - told} == {
        "ARABIC LETTER MARK",
        "LEFT-TO-RIGHT MARK",
        "RIGHT-TO-LEFT MARK",
    }


@pytest.mark.parametrize("name", PLAIN)
def test_plain_name_is_taken_wherever_one_is_typed(
    browser: Callable[..., Browser], root: Path, execute: Any, name: str
) -> None:
    assert option_kinds.parse_patterns([f"{name}/*"]) == (f"{name}/*",)
    assert locations.locate(f"nas:a/{name}", [], {"nas": 1}).text == f"nas:a/{name}"
    (root / "from" / name).mkdir(parents=True)
    (root / "from" / name / name).write_text("x")
    bob = browser("bob")
    page = bob.get("/browse", query_string={"at": str(root / "from"), "side": "source"}).text
    assert "1 entry<" in page
    assert f'<span class="browse-name">{name}</span>' in page
    form = {"name": f"n {name} n", "operation": "copy", "source": str(root / "from" / name)}
    answer = bob.post(
        "/jobs", form | {"destination": str(root / "to"), "include": name, "bandwidth_limit": ""}
    )
    assert answer.status_code == 303, answer.text
    execute(1)
    assert status_of(1) == "completed"
    assert tree(root / "to") == {os.fsencode(name): b"x"}
    made = bob.post("/browse/folders", {"at": str(root), "name": f"new {name} x"})
    assert made.status_code == 201
    assert (root / f"new {name} x").is_dir()


@pytest.mark.parametrize("name", [*BROKEN, *TURNED])
def test_name_that_breaks_or_turns_its_line_is_refused(name: str) -> None:
    for refused, rule in (
        (option_kinds.InvalidOption, lambda: option_kinds.parse_patterns([name])),
        (PathRefused, lambda: locations.locate(f"nas:{name}", [], {"nas": 1})),
        (validation._Refused, lambda: validation._name(name)),
    ):
        with pytest.raises(refused):
            rule()
    assert is_line(name) == (name in TURNED)


def test_password_of_a_storage_may_hold_what_nobody_is_shown(
    browser: Callable[..., Browser],
) -> None:
    alice = browser("alice")
    form = {"backend": "sftp", "role": "operator", "option_host": "203.0.113.9"}
    for number, password in enumerate(["a\u3000b", "\u00a0 \U0001f511\u200d", "a\u202eb\uf8ff"]):
        sent = form | {"name": f"nas{number}", "option_user": "x", "option_pass": password}
        answer = alice.post("/remotes", sent)
        assert answer.status_code == 303, re.findall(r"invalid-feedback[^<]*<", answer.text)
    refused = alice.post("/remotes", sent | {"name": "other", "option_pass": "a\nb"})
    assert refused.status_code == 422


def test_what_cannot_be_offered_is_counted(browser: Callable[..., Browser], root: Path) -> None:
    folder = root / "odd"
    folder.mkdir()
    for name in (b"plain", b"line\nbreak", b"\xff\xfe", "turned \u202e".encode()):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("x")
    (folder / "link").symlink_to(root)
    bob = browser("bob")
    page = bob.get("/browse", query_string={"at": str(folder)}).text
    said = re.search(r'id="browse-line">([^<]*)<', page)
    assert said is not None
    assert said[1] == (
        "1 entry; 3 more whose names cannot be shown; 1 link, which transfers do not follow"
    )
    (folder / "plain").unlink()
    (folder / "link").unlink()
    page = bob.get("/browse", query_string={"at": str(folder)}).text
    assert "0 entries; 3 more whose names cannot be shown" in page


def test_names_that_are_no_text_are_copied_like_any_other(
    browser: Callable[..., Browser], root: Path, execute: Any
) -> None:
    folder = root / "odd"
    folder.mkdir()
    names = [b"\xff", b"\xfe", b"caf\xe9", b"line\nbreak", "turned \u202e".encode()]
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(name)
    form = {"name": "odd", "operation": "copy", "source": str(folder)}
    browser("bob").post("/jobs", form | {"destination": str(root / "to"), "bandwidth_limit": ""})
    execute(1)
    assert status_of(1) == "completed"
    assert tree(root / "to") == {name: name for name in names}


def test_job_name_is_refused_beside_its_field(browser: Callable[..., Browser], root: Path) -> None:
    with pytest.raises(Invalid) as found:
        validation.validate_transfer(
            name="a\u202eb",
            operation="copy",
            source=str(root),
            destination="",
            bandwidth_limit="",
            dry_run=False,
            roots=Roots.of([root]),
            remotes={},
        )
    assert found.value.errors["name"] == "Leave out line breaks and control characters."
