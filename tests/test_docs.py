"""The documents say what the code does."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.engine import FIGURES
from portal.models import Job
from portal.presentation import job_words
from portal.realtime.rooms import TOPICS
from portal.settings import Settings
from portal.transfers.states import STATES, JobStatus, Operation
from tests.support.project import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DEFAULT = re.compile(r" ?Default: (.+?)\.(?= |$)")


# --- settings -----------------------------------------------------------------------------------


def settings_table() -> str:
    """The table that docs/settings.md holds: one row a variable, in the order of the code."""
    rows = ["| variable | default | |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        text = field.description or ""
        default_told = DEFAULT.search(text)
        default = default_told[1] if default_told else f"`{field.default}`"
        if default in ("``", "`None`", "`()`"):
            default = "none"
        rows.append(f"| `PORTAL_{name.upper()}` | {default} | {DEFAULT.sub('', text).strip()} |")
    return "\n".join(rows)


def test_settings_page_has_each_variable_with_its_default_and_its_help() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()

    assert settings_table() in page, f"docs/settings.md should hold\n\n{settings_table()}"


# --- live events --------------------------------------------------------------------------------


def events_of_the_code() -> dict[str, set[str]]:
    """Event name → fields of its payload, read from the functions of portal/realtime/publish.py."""
    found = {}
    for function in ast.parse((ROOT / "portal" / "realtime" / "publish.py").read_text()).body:
        payloads = [node for node in ast.walk(function) if isinstance(node, ast.Dict)]
        for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
            match call:
                case ast.Call(
                    func=ast.Name(id="_emit" | "_emit_here"),
                    args=[ast.Constant(value=str(event)), *_],
                ):
                    keys = [key for payload in payloads for key in payload.keys]
                    found[event] = {str(k.value) for k in keys if isinstance(k, ast.Constant)}
                    if "FIGURES" in ast.unparse(function):
                        found[event] |= {name for name, one in FIGURES.items() if one.published}
    return found


def tables_of_the_page() -> dict[str, set[str]]:
    """Event name → names in the first column of the table below its heading."""
    page = (ROOT / "docs" / "realtime.md").read_text()
    sections = re.split(r"^##+ ", page, flags=re.MULTILINE)[1:]
    return {
        section.split("`")[1]: {
            name
            for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
            for name in re.findall(r"`(\w+)`", row)
        }
        for section in sections
        if section.startswith("`")
    }


def test_realtime_page_has_each_event_with_exactly_its_fields() -> None:
    events = events_of_the_code()

    assert events
    for event, fields in events.items():
        assert tables_of_the_page().get(event) == fields, event


def test_realtime_page_has_each_field_of_display() -> None:
    job = Job(status=JobStatus.QUEUED, operation=Operation.COPY, bytes_transferred=0)

    assert tables_of_the_page()["display"] == set(job_words.display(job))


def test_realtime_page_names_every_topic_status_icon_and_tone() -> None:
    page = (ROOT / "docs" / "realtime.md").read_text()
    words = {*TOPICS, *JobStatus, *(state.tone for state in STATES.values())}

    assert not {word for word in words if f"`{word}`" not in page}


# --- links --------------------------------------------------------------------------------------


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if not re.match(r"[a-z]+:|#", target):
                yield document, target


@pytest.mark.parametrize(
    ("document", "target"),
    [pytest.param(*link, id=f"{link[0].name} {link[1]}") for link in links()],
)
def test_relative_link_leads_somewhere(document: Path, target: str) -> None:
    assert (document.parent / target.partition("#")[0]).exists()


#: Named on purpose, but not in the repository: parts of a wheel and a data folder, and plans.
ABSENT = re.compile(r"portal/_root\b|files/|[^`]*\bnotices?\b")


def paths() -> Iterator[tuple[str, str]]:
    """Files and folders in backticks, with the document that names them."""
    named = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|js|html|css|d\.ts)|(?:[\w.-]+/)+)`")
    for document in DOCUMENTS:
        for path in named.findall(document.read_text()):
            if not ABSENT.match(path):
                yield document.name, path


def test_every_file_and_folder_that_is_named_exists() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    files = [f"/{name}" for name in os.fsdecode(listed.stdout).split("\0")]
    tops = {name.split("/")[1] for name in files if name.count("/") > 1}

    def exists(path: str) -> bool:
        """From the top if it begins with a folder that stands there; else it may lie anywhere."""
        if path.partition("/")[0] in tops:
            return (ROOT / path).exists()
        return any(
            f"/{path}" in name if path.endswith("/") else name.endswith(f"/{path}")
            for name in files
        )

    named = set(paths())
    assert len(named) > 50
    assert sorted(one for one in named if not exists(one[1])) == []


def test_every_command_of_make_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (document.name, command)
        for document in DOCUMENTS
        for command in re.findall(r"(?:^ *|`)make ([a-z]+)", document.read_text(), re.MULTILINE)
    }
    assert {("README.md", "run"), ("README.md", "test")} <= named
    assert [one for one in named if one[1] not in targets] == []


def test_every_decision_is_numbered_once_and_short() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(decisions) + 1))
    assert not [path.name for path in decisions if len(path.read_text().splitlines()) > 25]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.stem[:4]
)
def test_every_decision_says_what_was_decided_why_and_at_what_price(path: Path) -> None:
    text = path.read_text()

    assert text.startswith(f"# {path.name[:4]}. ")
    for part in ("Decided", "Why", "The price"):
        assert text.count(f"**{part}:** ") == 1, part


# --- recipes ------------------------------------------------------------------------------------


def recipes() -> Iterator[tuple[str, str]]:
    """Lines that the diffs of docs/extending.md take to be in a file, and that file."""
    page = (ROOT / "docs" / "extending.md").read_text()
    for diff in re.findall(r"^```diff\n(.*?)^```", page, re.S | re.M):
        for file in re.split(r"^diff --git .*\n", diff, flags=re.M)[1:]:
            path = re.search(r"^--- a/(.+)$", file, re.M)
            for line in re.findall(r"^[ -](?!-- )(.*\S.*)$", file, re.M) if path else ():
                yield path[1], line


def test_diffs_of_the_recipes_fit_the_code() -> None:
    expected = list(recipes())
    assert len({path for path, _ in expected}) >= 6
    stale = [
        (path, line)
        for path, line in expected
        if line not in (ROOT / path).read_text().splitlines()
    ]
    assert not stale, "make the diffs of docs/extending.md anew"
