"""The two ends are two places, but a folder below one of them is the folder of that path below the
other: by a link or a mount that a server follows. Its files are "there already", and deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal.engine.safety import refusals
from tests.support.keepsakes import kept, markers, photographs


def refused(outcome, folder: str) -> None:
    assert not outcome.succeeded
    assert outcome.reason == refusals.SHARED_FOLDER.format(folder), outcome


@pytest.mark.parametrize("kind", ["sftp", "webdav", "ftp"])
@pytest.mark.parametrize("guarded", [False, True])
def test_folder_below_both_ends_is_not_moved_onto_itself(
    attempts, servers, bind, tmp_path, kind, guarded
):
    source, store = tmp_path / "source", tmp_path / "store"
    before = photographs(source)
    bind(source / "2026", store / "shelf" / "2026")
    remote = servers.remote("nas", servers.start(kind, store))
    run = attempts.confirmed if guarded else attempts.run
    for begin, end in ((source, "nas:shelf"), ("nas:shelf", source)):
        refused(run("move", begin, end, remote), "2026/summer")
        assert kept(source) == before
    assert markers(tmp_path) == []


def test_link_that_a_server_follows_is_seen_through(attempts, servers, tmp_path):
    source, store = tmp_path / "source", tmp_path / "store"
    before = photographs(source)
    (store / "shelf" / "2026").mkdir(parents=True)
    (store / "shelf" / "2026" / "summer").symlink_to(source / "2026" / "summer")
    remote = servers.remote("nas", servers.start("webdav", store, "--copy-links"))
    refused(attempts.run("move", source, "nas:shelf", remote), "2026/summer")
    assert kept(source) == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("kinds", [("sftp", "sftp"), ("webdav", "sftp")])
def test_folder_that_two_servers_show_is_not_moved_onto_itself(
    attempts, servers, bind, tmp_path, kinds
):
    before = photographs(tmp_path / "here" / "photos")
    bind(tmp_path / "here" / "photos" / "2026", tmp_path / "there" / "shelf" / "2026")
    one = servers.remote("one", servers.start(kinds[0], tmp_path / "here"))
    two = servers.remote("two", servers.start(kinds[1], tmp_path / "there"))
    refused(attempts.run("move", "one:photos", "two:shelf", one, two), "2026/summer")
    assert kept(tmp_path / "here") == {f"photos/{name}": held for name, held in before.items()}
    assert markers(tmp_path) == []


@pytest.mark.parametrize("kind", ["sftp", "webdav"])
def test_folder_that_one_account_shows_twice_is_not_moved_onto_itself(
    attempts, servers, bind, tmp_path, kind
):
    store = tmp_path / "store"
    before = photographs(store / "photos")
    bind(store / "photos" / "2026", store / "shelf" / "2026")
    remote = servers.remote("nas", servers.start(kind, store))
    refused(attempts.run("move", "nas:photos", "nas:shelf", remote), "2026/summer")
    assert kept(store / "photos") == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("operation", ["copy", "sync"])
def test_bytes_of_a_folder_below_both_ends_are_not_written_over_themselves(
    attempts, servers, bind, tmp_path, operation
):
    source, store = tmp_path / "source", tmp_path / "store"
    before = photographs(source)
    bind(source / "2026", store / "shelf" / "2026")
    remote = servers.remote("nas", servers.start("webdav", store))
    refused(attempts.run(operation, source, "nas:shelf", remote), "2026/summer")
    assert kept(source) == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("kind", ["sftp", "webdav"])
def test_true_move_into_a_tree_of_the_same_folders_is_done(attempts, servers, tmp_path, kind):
    source, store = tmp_path / "source", tmp_path / "store"
    before = photographs(source)
    for at in ("2026/summer/0.jpg", "1.jpg", "2026/winter/9.jpg"):
        path = store / "shelf" / at
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"another")
    remote = servers.remote("nas", servers.start(kind, store))
    outcome = attempts.run("move", source, "nas:shelf", remote)
    assert outcome.succeeded, outcome
    assert kept(store / "shelf") == {**before, "2026/winter/9.jpg": b"another"}
    assert kept(source) == {}
    assert markers(tmp_path) == []


def test_true_move_within_one_account_into_the_same_folders_is_done(attempts, servers, tmp_path):
    store = tmp_path / "store"
    before = photographs(store / "photos")
    photographs(store / "shelf")
    remote = servers.remote("nas", servers.start("webdav", store))
    outcome = attempts.run("move", "nas:photos", "nas:shelf", remote)
    assert outcome.succeeded, outcome
    assert kept(store / "shelf") == before
    assert kept(store / "photos") == {}
    assert markers(tmp_path) == []


def test_folder_with_a_line_break_in_its_name_is_compared_too(attempts, servers, bind, tmp_path):
    source, store = tmp_path / "source", tmp_path / "store"
    folder = source / "two\nlines"
    folder.mkdir(parents=True)
    (folder / "book.txt").write_bytes(b"the only copy")
    (source / "top.txt").write_bytes(b"on top")
    bind(folder, store / "shelf" / "two\nlines")
    remote = servers.remote("nas", servers.start("sftp", store))
    outcome = attempts.run("move", source, "nas:shelf", remote)
    assert not outcome.succeeded
    assert Path(folder, "book.txt").read_bytes() == b"the only copy"
    assert markers(tmp_path) == []
