"""A source that is one file: options that may leave out files hold for it as for any other source,
and whatever else lies at the destination stays as it is."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.engine import (
    ConfirmedPlan,
    Outcome,
    Remote,
    Run,
    TransferOrder,
    list_matching,
    rclone_path,
)
from portal.engine.answers.single_file import shape_of
from portal.engine.order.single_file_rules import rules
from portal.remotes.obscure import obscure
from portal.transfers.options import Options
from tests.support.storages import Storage
from tests.support.transfers import tree

SMALL = Options(max_size=1_000_000)
OLD = Options(min_age=3600)
NOT_ISO = Options(exclude=("*.iso",))
TEXT_ALONE = Options(include=("*.txt",))
#: Each of these leaves out a large new file called big.iso.
LEAVE_OUT = [SMALL, OLD, NOT_ISO, TEXT_ALONE, Options(include=("*.iso",), max_size=1000)]
TAKE = [
    Options(max_size=10_000_000),
    Options(exclude=("*.txt",)),
    Options(include=("big.*",)),
    Options(include=("*.iso", "*.txt"), exclude=("sub/",)),
    Options(include=("/big.iso",), max_size=5_000_000),
]
NAMES = [
    "plain.iso",
    "a[1]{b,c}*?.iso",
    "back\\slash \\d.iso",
    "ends with a space ",
    "# ; - + !.iso",
    "{{.*}}.iso",
    "写真\u3000\U0001f468\u200d\U0001f469.iso",
    "n" * 251 + ".iso",
    "line\nbreak\x01\x7f.iso",
    "picture ␊ of a break.iso",
]


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """The folder with the file that is meant and others, and a destination with others."""
    source, to = tmp_path / "from", tmp_path / "to"
    (source / "sub" / "big.iso").mkdir(parents=True)
    (to / "sub").mkdir(parents=True)
    (source / "big.iso").write_bytes(os.urandom(2_000_000))
    (source / "other.iso").write_text("other")
    (source / "note.txt").write_text("note")
    (source / "sub" / "big.iso" / "inner.iso").write_text("inner")
    (to / "stray.iso").write_text("stray")
    (to / "note.txt").write_text("another note")
    (to / "sub" / "stray").write_text("stray")
    return source, to


def run(
    source: str,
    to: str,
    options: Options,
    operation: str = "move",
    remotes: tuple[Remote, ...] = (),
    **more: object,
) -> tuple[Outcome, list[str]]:
    order = TransferOrder(
        7, 1, operation, source, to, None, False, remotes=remotes, options=options
    )
    attempt = Run(rclone_path(None), replace(order, **more), backoff=0.01)
    try:
        for _ in attempt.readings():
            pass
    finally:
        attempt.close()
    return attempt.outcome(), [line.message for line in attempt.take_log()[0]]


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
@pytest.mark.parametrize("options", LEAVE_OUT)
def test_file_that_is_left_out_stays_and_it_is_said(
    places: tuple[Path, Path], operation: str, options: Options
) -> None:
    source, to = places
    before, there = tree(source), tree(to)
    outcome, said = run(f"{source}/big.iso", str(to), options, operation)
    assert outcome.succeeded, outcome.reason
    assert (tree(source), tree(to)) == (before, there)
    assert outcome.progress is not None
    assert (outcome.progress.files_transferred, outcome.progress.bytes_transferred) == (0, 0)
    assert "The filters leave out this file: nothing was transferred." in said


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
@pytest.mark.parametrize("options", [*TAKE, Options()])
def test_file_that_is_taken_comes_into_the_destination_alone(
    places: tuple[Path, Path], operation: str, options: Options
) -> None:
    source, to = places
    before, there = tree(source), tree(to)
    outcome, _ = run(f"{source}/big.iso", str(to), options, operation)
    assert outcome.succeeded, outcome.reason
    assert tree(to) == {**there, b"big.iso": before[b"big.iso"]}
    left = {name: data for name, data in before.items() if name != b"big.iso"}
    assert tree(source) == (left if operation == "move" else before)
    assert outcome.progress is not None
    assert outcome.progress.bytes_transferred == 2_000_000


@pytest.mark.parametrize("options", [SMALL, NOT_ISO, TAKE[0]])
def test_sync_of_one_file_deletes_nothing_whatever_is_left_out(
    places: tuple[Path, Path], options: Options
) -> None:
    """Also not the file of its own name, which a filter may leave out at one side alone."""
    source, to = places
    (to / "big.iso").write_text("small, so that it is no reason to delete it")
    there = tree(to)
    planned, _ = run(f"{source}/big.iso", str(to), options, "sync", dry_run=True)
    assert planned.plan is not None
    assert planned.plan.deletes == 0
    confirmed = ConfirmedPlan(0, planned.plan.fingerprint, planned.plan.moment)
    outcome, _ = run(f"{source}/big.iso", str(to), options, "sync", confirmed=confirmed)
    assert outcome.succeeded, outcome.reason
    now = tree(to)
    assert now.keys() == there.keys()
    assert {name for name in there if now[name] != there[name]} <= {b"big.iso"}


@pytest.mark.parametrize("name", NAMES)
def test_name_is_that_name_and_no_pattern(tmp_path: Path, name: str) -> None:
    source, to = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    others = {f"x{name[1:]}", f"{name[:-1]}_", name[:-1], f"{name[:-1]}\u240a", "a1b.iso", "1.iso"}
    for other in others - {name, ""}:
        if len(other.encode()) <= 255:
            (source / other).write_text("other")
    (source / name).write_text("this")
    before = tree(source)
    outcome, _ = run(f"{source}/{name}", str(to), Options(max_size=1000, include=("**",)))
    assert outcome.succeeded, outcome.reason
    assert tree(to) == {os.fsencode(name): b"this"}
    assert tree(source) == {one: data for one, data in before.items() if one != os.fsencode(name)}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=250), st.text())
def test_rule_leaves_out_every_other_text(name: str, other: str) -> None:
    """Python reads this rule as rclone does, but for how a character is written."""
    _, rule = rules(name)
    inner = rule.removeprefix("- /{{").removesuffix("}}")
    found = re.sub(r"\\x\{([0-9a-f]+)\}", lambda code: f"\\U{int(code[1], 16):08x}", inner)
    leaves_out = re.compile(found)
    assert leaves_out.fullmatch(name) is None
    for text in (other, name + other, name[:-1], f"{name[:-1]}{other}", "", other + name):
        assert (leaves_out.fullmatch(text) is None) == (text == name)


def test_check_of_one_file_looks_at_that_alone(places: tuple[Path, Path]) -> None:
    source, to = places
    large = Options(max_size=10_000_000)
    run(f"{source}/big.iso", str(to), large, "copy")
    assert run(f"{source}/big.iso", str(to), large, "check")[0].found.outcome == "equal"
    (to / "big.iso").write_bytes(os.urandom(2_000_000))
    differs, _ = run(f"{source}/big.iso", str(to), large, "check")
    assert differs.found.outcome == "different"
    left_out, _ = run(f"{source}/big.iso", str(to), NOT_ISO, "check")
    assert left_out.found.outcome == "equal"
    verified, _ = run(f"{source}/note.txt", f"{to}/new", replace(large, verify=True), "copy")
    assert verified.succeeded
    assert tree(to / "new") == {b"note.txt": b"note"}


def test_what_is_there_already_is_not_sent_again(places: tuple[Path, Path]) -> None:
    source, to = places
    run(f"{source}/big.iso", str(to), TAKE[0], "copy")
    outcome, said = run(f"{source}/big.iso", str(to), TAKE[0], "copy")
    assert outcome.progress is not None
    assert outcome.progress.files_transferred == 0
    assert not [line for line in said if "leave out" in line]


def test_filters_hold_in_a_second_attempt(places: tuple[Path, Path]) -> None:
    source, to = places
    before = tree(source)
    for attempt in (1, 2, 3):
        outcome, _ = run(f"{source}/big.iso", str(to), SMALL, attempt=attempt)
        assert outcome.succeeded
        assert tree(source) == before


def test_folders_and_what_is_missing_are_no_file(places: tuple[Path, Path]) -> None:
    source, to = places
    for path in (str(source), f"{source}/", f"{source}/sub", "/", f"{source}/none"):
        assert shape_of(rclone_path(None), None, path).name is None
    assert shape_of(rclone_path(None), None, f"{source}/big.iso/").name == "big.iso"
    empty = source.with_name("empty")
    empty.mkdir()
    outcome, _ = run(str(empty), str(to), Options(exclude=("*.none",)), "copy")
    assert outcome.succeeded, outcome.reason
    missing, _ = run(f"{source}/none", str(to), SMALL, "sync")
    assert not missing.succeeded
    assert (to / "stray.iso").exists()


@pytest.mark.parametrize(("options", "files"), [(SMALL, 0), (TAKE[0], 1), (TEXT_ALONE, 0)])
def test_preview_says_what_the_job_then_does(
    places: tuple[Path, Path], options: Options, files: int
) -> None:
    source, to = places
    found = list_matching(rclone_path(None), None, f"{source}/big.iso", options, seconds=20)
    assert (found.problem, found.files) == (None, files)
    outcome, _ = run(f"{source}/big.iso", str(to), options, "copy")
    assert outcome.progress is not None
    assert outcome.progress.files_transferred == files


# --- storages elsewhere -------------------------------------------------------------------------


@pytest.fixture
def storages(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], tuple[Path, Remote, str]]]:
    """``storages("sftp")``: a folder of a real server, its remote, and the path there. A server of
    each test's own, since it does not see what is put behind its back once it has looked."""
    running: dict[str, Storage] = {}

    def of(kind: str) -> tuple[Path, Remote, str]:
        if kind not in running:
            running[kind] = Storage(kind, tmp_path_factory.mktemp(kind)).start()
        storage = running[kind]
        folder = storage.folder / "bucket" / f"{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        options = storage.options()
        if "pass" in options:
            options["pass"] = obscure(options["pass"])
        return folder, Remote("nas", kind, options), f"nas:bucket/{folder.name}"

    yield of
    for storage in running.values():
        storage.stop()


@pytest.mark.parametrize("kind", ["sftp", "webdav", "s3", "ftp"])
def test_filters_hold_for_one_file_of_a_storage(
    storages: Callable[[str], tuple[Path, Remote, str]], tmp_path: Path, kind: str
) -> None:
    folder, remote, path = storages(kind)
    name = "big [1] ü%.iso"
    (folder / name).write_bytes(os.urandom(2_000_000))
    (folder / "other.iso").write_text("other")
    before, to = tree(folder), tmp_path / "to"
    for options in (SMALL, NOT_ISO, TEXT_ALONE):
        outcome, said = run(f"{path}/{name}", str(to), options, remotes=(remote,))
        assert outcome.succeeded, outcome.reason
        assert tree(folder) == before
        assert "The filters leave out this file: nothing was transferred." in said
        found = list_matching(
            rclone_path(None), remote, f"{path}/{name}".partition(":")[2], options, seconds=20
        )
        assert (found.problem, found.files) == (None, 0)
    outcome, _ = run(f"{path}/{name}", str(to), TAKE[0], remotes=(remote,))
    assert outcome.succeeded, outcome.reason
    assert tree(to) == {os.fsencode(name): before[os.fsencode(name)]}
    assert tree(folder) == {b"other.iso": b"other"}
    # And the other way round, beside what is there already.
    outcome, _ = run(f"{to}/{name}", path, TAKE[0], "sync", remotes=(remote,))
    assert outcome.succeeded, outcome.reason
    assert tree(folder) == before


@pytest.mark.parametrize("kind", ["sftp", "webdav"])
def test_source_whose_storage_does_not_answer_is_not_touched(tmp_path: Path, kind: str) -> None:
    storage = Storage(kind, tmp_path / "store")
    options = storage.options()
    remote = Remote("nas", kind, {**options, "pass": obscure(options["pass"])})
    outcome, _ = run(
        "nas:big.iso", str(tmp_path / "to"), replace(SMALL, retries=1), remotes=(remote,)
    )
    assert not outcome.succeeded
    assert outcome.reason is not None
    assert "refuses the connection" in outcome.reason


@pytest.mark.parametrize("kind", ["sftp", "webdav", "s3", "ftp"])
def test_filters_hold_for_a_root_a_folder_and_nothing_at_all(
    storages: Callable[[str], tuple[Path, Remote, str]], tmp_path: Path, kind: str
) -> None:
    folder, remote, path = storages(kind)
    (folder / "deep").mkdir()
    (folder / "small").write_text("small")
    (folder / "deep" / "large").write_bytes(b"x" * 2_000_000)
    (folder / "deep" / "small").write_text("small too")
    for number, (source, taken) in enumerate(
        [
            (path, {b"small", b"deep/small"}),
            (f"{path}/deep", {b"small"}),
            (f"{path}/deep/", {b"small"}),
            ("nas:bucket", None),
            ("nas:", None),
        ]
    ):
        to = tmp_path / f"to {number}"
        outcome, _ = run(source, str(to), SMALL, "copy", remotes=(remote,))
        assert outcome.succeeded, outcome.reason
        found = tree(to)
        assert not [name for name in found if name.endswith(b"large")]
        if taken is not None:
            assert found.keys() == taken
        else:
            assert any(name.endswith(b"deep/small") for name in found)
    outcome, _ = run(f"{path}/none", str(tmp_path / "none"), SMALL, "copy", remotes=(remote,))
    assert tree(tmp_path / "none") == {}
