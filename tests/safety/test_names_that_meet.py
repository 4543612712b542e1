"""Two names that are one at the destination: the second file would take the place of the first."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from portal.engine.answers import source_names
from portal.engine.safety import case, examination
from tests.support.keepsakes import kept, markers
from tests.support.mounts import Mounts


def twins(folder: Path) -> dict[str, bytes]:
    (folder / "Album").mkdir(parents=True)
    (folder / "Album" / "A.txt").write_bytes(b"the first")
    (folder / "Album" / "a.txt").write_bytes(b"another")
    (folder / "Album" / "b.txt").write_bytes(b"a third")
    return kept(folder)


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """This kernel has no file system that ignores case: one that it has is said to."""
    monkeypatch.setattr(case, "_WITHOUT_CASE", case._WITHOUT_CASE | case._WITH_CASE)


@pytest.mark.usefixtures("folds")
@pytest.mark.parametrize("operation", ["copy", "move", "sync"])
def test_names_that_differ_by_case_are_refused_before_anything_moves(attempts, tmp_path, operation):
    before = twins(tmp_path / "source")
    outcome = attempts.run(operation, tmp_path / "source", tmp_path / "to")
    assert not outcome.succeeded
    assert "A.txt" in outcome.reason
    assert "a.txt" in outcome.reason
    assert kept(tmp_path / "source") == before
    assert kept(tmp_path / "to") == {}


@pytest.mark.parametrize("operation", ["move", "sync"])
def test_server_that_ignores_case_is_found_out_by_the_marker(
    attempts, servers, tmp_path, operation
):
    before = twins(tmp_path / "source")
    (tmp_path / "store").mkdir()
    server = servers.start("webdav", tmp_path / "store", "--vfs-case-insensitive")
    outcome = attempts.run(operation, tmp_path / "source", "nas:", servers.remote("nas", server))
    assert not outcome.succeeded
    assert "upper" in outcome.reason
    assert kept(tmp_path / "source") == before
    assert markers(tmp_path) == []


def test_names_that_meet_are_reported_where_rclone_alone_notices(attempts, servers, tmp_path):
    """Two forms of one accented letter, to a storage of which nobody knows whether it keeps them
    apart."""
    source = tmp_path / "source"
    source.mkdir()
    for form in ("NFC", "NFD"):
        (source / unicodedata.normalize(form, "été.txt")).write_bytes(form.encode())
    before = kept(source)
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "store"))
    outcome = attempts.run("move", source, "nas:summer", remote)
    everywhere = [*kept(source).values(), *kept(tmp_path / "store").values()]
    assert sorted(everywhere) == sorted(before.values())
    if len(kept(tmp_path / "store")) < 2:
        assert not outcome.succeeded
        assert "Two names" in outcome.reason


def test_both_forms_of_an_accent_are_copied_between_folders(attempts, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for form in ("NFC", "NFD"):
        (source / unicodedata.normalize(form, "été.txt")).write_bytes(form.encode())
    before = kept(source)
    outcome = attempts.run("move", source, tmp_path / "to")
    assert outcome.succeeded, outcome
    assert kept(tmp_path / "to") == before


@pytest.mark.parametrize("operation", ["copy", "move", "sync", "confirmed sync"])
def test_object_of_the_other_form_of_an_accent_is_not_written_over(
    attempts, servers, tmp_path, operation
):
    """Only the source's own form is at the source; the destination holds both."""
    source, store = tmp_path / "source", tmp_path / "store" / "shelf"
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    source.mkdir()
    store.mkdir(parents=True)
    (source / composed).write_bytes(b"mine")
    (store / composed).write_bytes(b"the old one, composed")
    (store / decomposed).write_bytes(b"another file")
    remote = servers.remote("cloud", servers.start("s3", tmp_path / "store"))
    if operation.startswith("confirmed"):
        outcome = attempts.confirmed("sync", source, "cloud:shelf", remote)
    else:
        outcome = attempts.run(operation, source, "cloud:shelf", remote)
    assert outcome.succeeded, outcome
    other = {} if "sync" in operation else {decomposed: b"another file"}
    assert kept(store) == {composed: b"mine", **other}
    assert outcome.progress.files_deleted == ("sync" in operation)


def test_names_that_meet_are_found_in_little_memory():
    names = [f"folder/{number}.jpg" for number in range(5000)]
    assert source_names.meeting(lambda: iter(names)) == []
    names[4000:4000] = ["Folder/17.JPG"]
    assert source_names.meeting(lambda: iter(names)) == [("folder/17.jpg", "Folder/17.JPG")]
    many = [f"{name}{number}" for number in range(9) for name in "aA"]
    assert len(source_names.meeting(lambda: iter(many))) == 3


def test_a_folder_of_this_machine_tells_case_apart(tmp_path):
    assert not case.folds_case(str(tmp_path), may_write=True)
    assert not case._tried(str(tmp_path))
    assert markers(tmp_path) == []


def test_disk_inside_the_destination_that_ignores_case_is_found(attempts, tmp_path, monkeypatch):
    (tmp_path / "from" / "usb").mkdir(parents=True)
    for name in ("Photo.jpg", "photo.jpg"):
        (tmp_path / "from" / "usb" / name).write_bytes(name.encode())
    before = kept(tmp_path / "from")
    with Mounts(tmp_path) as mounts:
        usb = tmp_path / "to" / "usb"
        mounts.memory(usb)
        monkeypatch.setattr(examination, "folds_case", lambda folder, **_: folder == str(usb))
        outcome = attempts.run("move", tmp_path / "from", tmp_path / "to")
        assert not outcome.succeeded
        assert "would be one file there" in outcome.reason
        assert kept(tmp_path / "from") == before


def test_tree_that_is_deeper_than_python_recurses_is_looked_through(tmp_path):
    folders = [tmp_path / "d"]
    for _ in range(1100):
        folders.append(folders[-1] / "d")
    for folder in folders:
        folder.mkdir()
    assert source_names.has_file(str(tmp_path)) is False
    (tmp_path / "d" / "file").touch()
    assert source_names.has_file(str(tmp_path)) is True
    assert source_names.first_files(str(tmp_path), 5) == ["d/file"]
    # What removes the folders of tests recurses too.
    (tmp_path / "d" / "file").unlink()
    for folder in reversed(folders):
        folder.rmdir()
