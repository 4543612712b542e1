"""Files of the source that are hard links of those at a server of this machine, by their own name
or by another one. WebDAV writes into the file that is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.engine.safety import hard_links
from portal.transfers.options import Options
from tests.support.attempts import Attempts, Servers
from tests.support.keepsakes import kept

NAMES = ["one.jpg", "deeper/two.jpg"]


def shelf(source: Path, store: Path, *, linked: bool) -> Path:
    """The destination's folder, which holds each file of the source already."""
    shown = store / "shelf"
    for name in NAMES:
        for folder in (source, shown):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(os.urandom(3_000_000))
        (os.link if linked else shutil.copy)(source / name, shown / name)
    return shown


@pytest.mark.parametrize("operation", ["copy", "sync", "move", "confirmed move"])
@pytest.mark.parametrize("where", ["shelf", "one file"])
def test_webdav_server_does_not_write_into_what_it_is_given(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str, where: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    shelf(source, store, linked=True)
    before = kept(source)
    remote = servers.remote("nas", servers.start("webdav", store), vendor="other")
    begin = source if where == "shelf" else source / "one.jpg"
    if operation.startswith("confirmed"):
        outcome = attempts.confirmed("move", begin, "nas:shelf", remote)
    else:
        outcome = attempts.run(operation, begin, "nas:shelf", remote, limit="8M")
    assert kept(source) == before
    assert not outcome.succeeded
    assert "hard links" in str(outcome.reason)


@pytest.mark.parametrize("kind", ["webdav", "sftp"])
def test_files_that_are_no_links_of_what_is_there_are_moved(
    attempts: Attempts, servers: Servers, tmp_path: Path, kind: str
) -> None:
    """Nor do hard links matter where nothing has their name, or where files are not written in
    place."""
    source, store = tmp_path / "from", tmp_path / "store"
    shelf(source, store, linked=kind == "sftp")
    if kind == "webdav":
        os.link(source / "one.jpg", source / "new.jpg")
        (store / "shelf" / "one.jpg").unlink()
    before = kept(source)
    remote = servers.remote("nas", servers.start(kind, store))
    outcome = attempts.run("move", source, "nas:shelf", remote)
    assert outcome.succeeded, (outcome.reason, outcome.error_lines)
    assert kept(store / "shelf") == before


def rotated(source: Path, shown: Path, *, old: str = "log.2", new: str = "log.1") -> None:
    """Yesterday's backup of ``new`` was a hard link. Since then it has been renamed to ``old``, and
    another one has been written."""
    for path in (source / new, source / old, shown / new):
        path.parent.mkdir(parents=True, exist_ok=True)
    (source / new).write_bytes(b"old" + os.urandom(300_000))
    os.link(source / new, shown / new)
    (source / new).rename(source / old)
    (source / new).write_bytes(b"new" + os.urandom(299_000))


OPERATIONS = ["copy", "sync", "move", "confirmed move"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("log.1", "log.2"),
        ("log.1", "deeper/log.2"),
        ("deeper/log.1", "log.2"),
        ("deeper/log.1", "deeper/log.2"),
    ],
)
def test_webdav_server_does_not_write_into_a_file_of_another_name(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str, new: str, old: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    shown = store / "shelf" if new == "log.1" else store
    rotated(source, shown, old=old, new=new)
    before = kept(source), kept(store)
    remote = servers.remote("nas", servers.start("webdav", store))
    place = f"nas:{shown.relative_to(store)}".rstrip(".")
    if operation.startswith("confirmed"):
        outcome = attempts.confirmed("move", source, place, remote)
    else:
        outcome = attempts.run(operation, source, place, remote)
    assert (kept(source), kept(store)) == before
    assert not outcome.succeeded
    assert "hard links" in str(outcome.reason)
    assert old in str(outcome.reason)
    assert new in str(outcome.reason)


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
def test_file_that_filters_leave_out_is_not_written_into(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    rotated(source, store, old="archive/log.2")
    before = kept(source), kept(store)
    remote = servers.remote("nas", servers.start("webdav", store))
    options = Options(retries=0, exclude=("archive/**",))
    outcome = attempts.run(operation, source, "nas:", remote, options=options)
    assert (kept(source), kept(store)) == before
    assert "archive/log.2" in str(outcome.reason)


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
def test_single_file_is_not_written_into_the_one_beside_it(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    rotated(source, store)
    before = kept(source), kept(store)
    remote = servers.remote("nas", servers.start("webdav", store))
    outcome = attempts.run(operation, source / "log.1", "nas:", remote)
    assert (kept(source), kept(store)) == before
    assert "log.2" in str(outcome.reason)


@pytest.mark.parametrize("operation", ["copy", "move"])
def test_two_files_that_took_each_others_name_are_not_mixed(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str
) -> None:
    """A third name, which lies in the source as well, does not hide the one at the server."""
    source, store = tmp_path / "from", tmp_path / "store"
    shelf(source, store / "a", linked=True)
    (source / "one.jpg").rename(source / "new.jpg")
    (source / "deeper" / "two.jpg").rename(source / "one.jpg")
    (source / "new.jpg").rename(source / "deeper" / "two.jpg")
    os.link(source / "one.jpg", source / "three.jpg")
    before = kept(source), kept(store)
    remote = servers.remote("nas", servers.start("webdav", store))
    outcome = attempts.run(operation, source, "nas:a/shelf", remote)
    assert (kept(source), kept(store)) == before
    assert "hard links" in str(outcome.reason)


def test_folder_that_is_mounted_twice_has_no_second_name(
    attempts: Attempts, servers: Servers, tmp_path: Path, bind: Callable[[Path, Path], None]
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    rotated(source, store, old="archive/log.2")
    bind(source / "archive", source / "again")
    before = kept(source), kept(store)
    remote = servers.remote("nas", servers.start("webdav", store))
    outcome = attempts.run("copy", source, "nas:", remote)
    assert (kept(source), kept(store)) == before
    assert "hard links" in str(outcome.reason)


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
@pytest.mark.parametrize("begin", ["", "log.1"])
def test_hard_links_that_all_lie_in_the_source_are_sent(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str, begin: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    rotated(source, store)
    (store / "log.1").unlink()
    (store / "log.1").write_bytes(b"an older one")
    os.link(source / "log.2", source / "log.3")
    before = kept(source)
    remote = servers.remote("nas", servers.start("webdav", store))
    outcome = attempts.run(operation, source / begin, "nas:", remote)
    assert outcome.succeeded, (outcome.reason, outcome.error_lines)
    sent = {begin: before[begin]} if begin else before
    assert kept(store) == sent


@pytest.mark.parametrize("operation", ["copy", "move"])
@pytest.mark.parametrize("begin", ["", "log.2"])
def test_hard_links_do_not_matter_where_nothing_is_replaced(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str, begin: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    rotated(source, store, new="log.0")
    (store / "log.0").rename(store / "of another name")
    before = kept(source)
    there = kept(store)
    remote = servers.remote("nas", servers.start("webdav", store))
    outcome = attempts.run(operation, source / begin, "nas:", remote)
    assert outcome.succeeded, (outcome.reason, outcome.error_lines)
    sent = {begin: before[begin]} if begin else before
    assert kept(store) == there | sent


def test_more_hard_links_than_can_be_remembered_are_refused(
    attempts: Attempts, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hard_links, "MAX_FILES", 5)
    source, store = tmp_path / "from", tmp_path / "store"
    for folder in (source / "first", source / "second"):
        folder.mkdir(parents=True)
    for number in range(6):
        (source / "first" / f"{number}").write_bytes(os.urandom(100))
        os.link(source / "first" / f"{number}", source / "second" / f"{number}")
    (store / "first").mkdir(parents=True)
    (store / "first" / "3").write_bytes(b"older")
    before = kept(source), kept(store)
    remote = servers.remote("nas", servers.start("webdav", store))
    outcome = attempts.run("copy", source, "nas:", remote)
    assert (kept(source), kept(store)) == before
    assert "More than 5 files" in str(outcome.reason)
    monkeypatch.undo()
    assert attempts.run("copy", source, "nas:", remote).succeeded
