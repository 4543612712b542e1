"""Folders that cannot be shown or made, and what is said of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask

from portal import engine
from portal.errors import Invalid
from portal.models import User
from portal.services.actor import Actor
from portal.services.runtime import runtime
from portal.services.storage import connections, folders, turns
from portal.services.storage.connections import Unusable
from portal.services.storage.folders import Folder
from portal.transfers.locations import Location
from portal.transfers.options import Options

SFTP = {"host": "127.0.0.1", "user": "bob", "pass": "a password"}


@pytest.fixture
def bob(user: Callable[[str], User]) -> User:
    return user("bob")


@pytest.fixture
def look(app: Flask, bob: User) -> Callable[..., Folder]:
    def at(place: object, **options: Any) -> Folder:
        return folders.look(str(place), roots=runtime().roots, actor=Actor(bob), **options)

    return at


@pytest.fixture
def storage(new_remote: Any, monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Of the remote ``nas``: its answer to each listing."""
    new_remote("nas", "sftp", SFTP)
    made = Mock()
    monkeypatch.setattr(connections, "list_folder", made)
    return made


def listing(*names: str, **told: Any) -> engine.Listing:
    entries = tuple(engine.Entry(name, folder=False, size=1) for name in names)
    facts = {"problem": None, "missing": False, "partial": False, "seconds": 0.1}
    return engine.Listing(entries, **{**facts, **told})


# --- of this machine ----------------------------------------------------------------------------


def test_local_folder_that_is_none_says_what_it_is(look: Any, root: Path) -> None:
    (root / "file").touch()
    assert look(root / "nothing").note.startswith("Nothing is here yet.")
    assert look(root / "file").note == "This is a file."
    (root / "empty").mkdir()
    assert look(root / "empty").note == "This folder is empty."


def test_local_folder_that_cannot_be_read_says_why(
    look: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr(folders.os, "scandir", closed)
    shown = look(root)
    assert shown.problem == "This folder cannot be read: Permission denied."
    assert [step.label for step in shown.trail] == [str(root)]


def test_file_that_goes_while_its_folder_is_read_is_left_out(root: Path) -> None:
    (root / "stays").touch()
    (root / "goes").touch()
    with os.scandir(root) as found:
        items = list(found)
    (root / "goes").unlink()
    kept = [entry.name for item in items if (entry := folders._entry(item)) is not None]
    assert kept == ["stays"]


def test_names_that_no_page_can_show_and_links_are_counted(look: Any, root: Path) -> None:
    (root / "plain").touch()
    (root / "new\nline").touch()
    (root / "link").symlink_to("plain")
    shown = look(root)
    assert [entry.name for entry in shown.entries] == ["plain"]
    assert (shown.hidden, shown.links) == (1, 1)
    assert shown.summary == (
        "1 entry; 1 more whose name cannot be shown; 1 link, which transfers do not follow"
    )


def test_folder_with_more_than_can_be_read_is_shown_up_to_there(
    look: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_MAX_LOCAL", 2)
    for number in range(4):
        (root / f"{number}").touch()
    assert look(root).total == 2


def test_disk_that_hangs_keeps_the_turns_of_one_person_and_nobody_else_waiting(
    browser: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    (root / "hung").mkdir()
    disk, hanging, scan = threading.Event(), threading.Semaphore(0), os.scandir

    def hang(path: str) -> Any:
        if path.endswith("/hung"):
            hanging.release()
            assert disk.wait(60)
        return scan(path)

    monkeypatch.setattr(folders.os, "scandir", hang)
    bob, bella = browser("bob"), browser("bella")
    answers: list[int] = []

    def ask() -> None:
        answers.append(bob.get(f"/browse?at={root}/hung").status_code)

    asking = [threading.Thread(target=ask) for _ in range(turns.LIMITS.each)]
    try:
        for thread in asking:
            thread.start()
            assert hanging.acquire(timeout=60)
        refused = [
            bob.get(f"/browse?at={root}"),
            bob.get(f"/browse?at={root}&part=rows"),
            bob.post("/browse/folders", {"at": str(root), "name": "new"}),
        ]
        for answer in refused:
            assert answer.status_code == 429
            assert "You already have two open. Wait for one to end" in answer.text
        assert "hung" in bella.get(f"/browse?at={root}").text
        assert bob.get("/browse").status_code == 200, "the list of places takes no turn"
    finally:
        disk.set()
        for thread in asking:
            thread.join(60)
    assert answers == [200] * turns.LIMITS.each
    assert "hung" in bob.get(f"/browse?at={root}").text


# --- of storages --------------------------------------------------------------------------------


def test_storage_is_asked_once_for_the_pages_of_a_folder(look: Any, storage: Mock) -> None:
    storage.return_value = listing("a", "b")
    assert [entry.name for entry in look("nas:x").entries] == ["a", "b"]
    assert look("nas:x", text="B", again=True).matching == 1
    assert storage.call_count == 1
    look("nas:x")
    assert storage.call_count == 2


def test_folder_that_could_not_be_listed_says_so_and_is_asked_for_again(
    look: Any, storage: Mock
) -> None:
    storage.return_value = listing(problem="The storage does not answer.")
    for _ in range(2):
        assert look("nas:x", again=True).problem == "The storage does not answer."
    assert storage.call_count == 2


def test_long_folder_of_a_storage_says_that_there_is_more(look: Any, storage: Mock) -> None:
    storage.return_value = listing("a", "not \ufffd utf-8", partial=True)
    shown = look("nas:x")
    assert shown.note == "There is more than is shown. Enter the path to go further."
    assert ([entry.name for entry in shown.entries], shown.hidden) == (["a"], 1)


def test_trail_of_an_absolute_path_on_a_storage_begins_at_its_top(look: Any, storage: Mock) -> None:
    storage.return_value = listing("a")
    assert [step.at for step in look("nas:/srv/data").trail] == [
        *("nas:", "nas:/srv", "nas:/srv/data")
    ]
    assert [step.at for step in look("nas:data").trail] == ["nas:", "nas:data"]


def test_source_that_cannot_be_looked_through_says_why(
    app: Flask, bob: User, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Mock(side_effect=Unusable("The storage does not answer."))
    monkeypatch.setattr(connections, "list_matching", away)
    found = folders.matching(Location(str(root)), Options(), actor=Actor(bob))
    assert (found.problem, found.files) == ("The storage does not answer.", 0)


# --- new ones -----------------------------------------------------------------------------------


@pytest.fixture
def make(app: Flask, bob: User) -> Callable[..., str]:
    def one(at: object, name: str) -> str:
        return folders.make(str(at), name, roots=runtime().roots, actor=Actor(bob))

    return one


def test_folder_that_cannot_be_made_says_why_beside_its_name(
    make: Any, root: Path, storage: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Mock(side_effect=OSError(28, "No space left on device"))
    with monkeypatch.context() as disk:
        disk.setattr(folders.Path, "mkdir", full)
        with pytest.raises(Invalid) as refused:
            make(root, "new")
    assert refused.value.errors == {"name": "It cannot be created: No space left on device."}
    away = Mock(side_effect=Unusable("The storage does not answer."))
    monkeypatch.setattr(connections, "make_folder", away)
    with pytest.raises(Invalid) as refused:
        make("nas:x", "new")
    assert refused.value.errors == {"name": "The storage does not answer."}
    away.assert_called_once()


def test_new_folder_of_a_storage_is_seen_at_once(
    make: Any, look: Any, storage: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "make_folder", Mock(return_value=None))
    storage.side_effect = [listing("a"), listing("a", "new")]
    look("nas:x")
    assert make("nas:x", "new") == "nas:x/new"
    assert look("nas:x", again=True).total == 2
