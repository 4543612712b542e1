"""A folder of the source that is a link at the destination: rclone would write through it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portal.engine.safety.linked_folders import linked_folder
from portal.transfers.options import Options
from tests.support.attempts import Attempts, Servers
from tests.support.keepsakes import kept, markers


def fill(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"x{number}").write_bytes(content * (number + 1))
    return folder


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    source, destination = tmp_path / "from", tmp_path / "to"
    fill(source / "sub", b"one")
    fill(source / "other", b"another")
    destination.mkdir()
    return source, destination


@pytest.mark.parametrize("operation", ["move", "sync", "copy"])
@pytest.mark.parametrize("leads_to", ["source", "destination", "elsewhere"])
@pytest.mark.parametrize("depth", ["", "deeper"])
def test_link_at_the_destination_is_refused_before_anything_is_written(
    attempts: Attempts,
    tmp_path: Path,
    ends: tuple[Path, Path],
    operation: str,
    leads_to: str,
    depth: str,
) -> None:
    source, destination = ends
    if depth:
        fill(source / depth / "sub", b"deep")
        (destination / depth).mkdir()
    (destination / "other").mkdir()
    targets = {
        "source": source / "other",
        "destination": destination / "other",
        "elsewhere": fill(tmp_path / "elsewhere", b"precious"),
    }
    (destination / depth / "sub").symlink_to(targets[leads_to])
    before = kept(tmp_path)

    outcome = attempts.run(operation, source, destination)
    assert not outcome.succeeded
    said = f"The folder {depth + '/' if depth else ''}sub of the source is a link"
    assert str(outcome.reason).startswith(said)
    assert kept(tmp_path) == before


def test_confirmed_move_is_refused_too(attempts: Attempts, ends: tuple[Path, Path]) -> None:
    source, destination = ends
    (destination / "sub").symlink_to(source / "other")
    before = kept(source)
    assert not attempts.confirmed("move", source, destination).succeeded
    assert kept(source) == before


def test_links_that_no_folder_of_the_source_meets_do_not_matter(
    attempts: Attempts, ends: tuple[Path, Path]
) -> None:
    source, destination = ends
    (destination / "mine").symlink_to(source)
    (destination / "sub").mkdir()
    (source / "a link").symlink_to(destination)
    before = {f"{path}": content for path, content in kept(source).items()}
    assert attempts.run("move", source, destination).succeeded
    there = kept(destination)
    assert before.keys() & there.keys()
    assert all(there[name] == content for name, content in before.items() if name in there)
    assert (destination / "other" / "x2").read_bytes() == b"another" * 3


def test_only_folders_that_both_sides_have_are_looked_at(ends: tuple[Path, Path]) -> None:
    source, destination = ends
    assert linked_folder(str(source), str(destination)) is None
    assert linked_folder(str(source), str(destination / "new")) is None
    assert linked_folder(str(source / "gone"), str(destination)) is None


@pytest.mark.parametrize("operation", ["copy", "move"])
@pytest.mark.parametrize("options", [Options(), Options(exclude=("*.tmp",))])
def test_links_beside_a_single_file_do_not_matter(
    attempts: Attempts, tmp_path: Path, operation: str, options: Options
) -> None:
    """With a filter, rclone is given the folder that the file lies in."""
    (tmp_path / "from" / "photos").mkdir(parents=True)
    (tmp_path / "from" / "letter").write_bytes(b"the only letter")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "photos").symlink_to(tmp_path / "elsewhere")
    outcome = attempts.run(
        operation, tmp_path / "from" / "letter", tmp_path / "to", options=options
    )
    assert outcome.succeeded, outcome
    assert (tmp_path / "to" / "letter").read_bytes() == b"the only letter"


@pytest.mark.parametrize("kind", ["sftp", "webdav", "s3"])
@pytest.mark.parametrize("operation", ["move", "confirmed move", "sync", "copy"])
@pytest.mark.parametrize("depth", ["", "deeper/"])
def test_link_that_a_server_follows_and_does_not_list_costs_no_file(
    attempts: Attempts, servers: Servers, tmp_path: Path, kind: str, operation: str, depth: str
) -> None:
    """The server is this machine: what is sent into the folder lands in the source."""
    source, store = tmp_path / "from", tmp_path / "store"
    fill(source / depth / "sub", b"one" * 100_000)
    fill(source / "other", b"another")
    (store / "shelf" / depth).mkdir(parents=True)
    (store / "shelf" / depth / "sub").symlink_to(source / depth / "sub")
    remote = servers.remote("nas", servers.start(kind, store))
    before = kept(source)
    if operation.startswith("confirmed"):
        outcome = attempts.confirmed("move", source, "nas:shelf", remote)
    else:
        outcome = attempts.run(operation, source, "nas:shelf", remote)
    assert kept(source) == before
    if "move" in operation or kind == "webdav":
        assert not outcome.succeeded
        assert f"{depth}sub" in str(outcome.reason)
    assert markers(tmp_path) == []


def test_link_at_a_local_destination_to_the_source_that_a_server_shows(
    attempts: Attempts, servers: Servers, tmp_path: Path
) -> None:
    source, to = tmp_path / "store" / "from", tmp_path / "to"
    fill(source / "sub", b"one")
    to.mkdir()
    (to / "sub").symlink_to(source / "sub")
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "store"))
    before = kept(source)
    outcome = attempts.run("move", "nas:from", to, remote)
    assert not outcome.succeeded
    assert kept(source) == before


@pytest.mark.parametrize("kind", ["sftp", "webdav", "s3"])
def test_new_folders_at_a_server_of_this_machine_are_made_and_filled(
    attempts: Attempts, servers: Servers, tmp_path: Path, kind: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    for name in ("a", "a/b", "c", "d/e/f"):
        (source / name).mkdir(parents=True, exist_ok=True)
        (source / name / "x").write_bytes(name.encode())
    (store / "shelf" / "c").mkdir(parents=True)
    before = kept(source)
    remote = servers.remote("nas", servers.start(kind, store))
    assert attempts.run("move", source, "nas:shelf", remote).succeeded
    assert kept(store / "shelf") == before
    assert kept(source) == {}
    assert markers(tmp_path) == []


def test_hidden_link_with_a_line_break_in_its_name_costs_no_file(
    attempts: Attempts, servers: Servers, tmp_path: Path
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    fill(source / "su\nb", b"one")
    fill(source / "other", b"another")
    (store / "shelf").mkdir(parents=True)
    (store / "shelf" / "su\nb").symlink_to(source / "su\nb")
    before = kept(source)
    remote = servers.remote("nas", servers.start("sftp", store))
    assert not attempts.run("move", source, "nas:shelf", remote).succeeded
    assert kept(source) == before


@pytest.mark.parametrize("operation", ["move", "copy"])
def test_new_folder_whose_name_is_no_text_is_sent(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    folder = source / os.fsdecode(b"caf\xe9")
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(b"content")
    (store / "shelf").mkdir(parents=True)
    remote = servers.remote("nas", servers.start("webdav", store))
    outcome = attempts.run(operation, source, "nas:shelf", remote)
    assert outcome.succeeded, outcome
    assert list(kept(store / "shelf").values()) == [b"content"]


def test_link_at_a_local_destination_that_leads_out_of_it_is_not_followed(
    attempts: Attempts, servers: Servers, tmp_path: Path
) -> None:
    source, to, private = tmp_path / "store" / "from", tmp_path / "to", tmp_path / "private"
    fill(source / "sub", b"one")
    to.mkdir()
    private.mkdir()
    (to / "sub").symlink_to(private)
    since = private.stat().st_mtime_ns
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "store"))
    outcome = attempts.run("move", "nas:from", to, remote)
    assert str(outcome.reason).startswith("The folder sub of the source is a link")
    assert private.stat().st_mtime_ns == since, "not even a marker was written there"
