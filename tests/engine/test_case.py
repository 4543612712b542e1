"""Whether a folder takes names that differ only by case for one name."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from portal.engine.safety import case, places


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file system of every folder is said to be this one."""
    return lambda name: monkeypatch.setattr(places, "kind_of_local", lambda _folder: name)


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every folder is said to have these marks, or to tell none."""

    def say(flags: int | OSError) -> None:
        def ioctl(_handle: int, _request: int, _space: bytes) -> bytes:
            if isinstance(flags, OSError):
                raise flags
            return struct.pack("l", flags)

        monkeypatch.setattr(fcntl, "ioctl", ioctl)

    return say


@pytest.mark.parametrize("name", ["vfat", "exfat"])
def test_file_system_without_case_is_known_by_its_name(
    kind: Any, tmp_path: Path, name: str
) -> None:
    kind(name)
    assert case.folds_case(str(tmp_path), may_write=False)
    assert not case.keeps_accents(str(tmp_path))


@pytest.mark.parametrize(
    ("flags", "folds"),
    [(0x40000000, True), (0x00080000, False), (OSError("Inappropriate ioctl"), False)],
)
def test_folder_of_another_is_known_by_its_mark(
    kind: Any, marks: Any, tmp_path: Path, flags: int | OSError, folds: bool
) -> None:
    kind("ext4")
    marks(flags)
    assert case.folds_case(str(tmp_path), may_write=True) is folds
    assert case.keeps_accents(str(tmp_path)) is not folds
    assert list(tmp_path.iterdir()) == [], "nothing had to be tried"


def test_folder_that_has_gone_has_no_mark(kind: Any, tmp_path: Path) -> None:
    kind("ext4")
    assert not case.folds_case(str(tmp_path / "gone"), may_write=True)


@pytest.mark.parametrize("folds", [True, False])
def test_unknown_file_system_is_tried_where_that_is_allowed(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: bool
) -> None:
    kind("fuse.something")
    looked_up: list[str] = []

    def lexists(path: Path) -> bool:
        looked_up.append(path.name)
        (made,) = tmp_path.iterdir()
        own = made.name == path.name
        return own or (folds and made.name.casefold() == path.name.casefold())

    monkeypatch.setattr(os.path, "lexists", lexists)
    assert not case.folds_case(str(tmp_path), may_write=False)
    assert looked_up == []
    assert case.folds_case(str(tmp_path), may_write=True) is folds
    assert len(set(looked_up)) == 2
    assert list(tmp_path.iterdir()) == [], "what was made is taken away"
    assert not case.keeps_accents(str(tmp_path)), "nobody knows"


def test_folder_that_cannot_be_written_to_is_not_said_to_fold(kind: Any, tmp_path: Path) -> None:
    kind("fuse.something")
    assert not case.folds_case(str(tmp_path / "gone"), may_write=True)


@pytest.mark.parametrize("sees", [[False, True], [True, False, True]], ids=["late", "in between"])
def test_disk_that_loses_sight_of_a_new_file_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sees: list[bool]
) -> None:
    """One that ignores case, and shows the file by no name at all at first."""
    looks = iter(sees)
    seen = [False]

    def lexists(path: Path) -> bool:
        if path.name.startswith(case.PREFIX):
            seen[0] = next(looks, True)
            return seen[0]
        return seen[0] and next(looks, True)

    monkeypatch.setattr(case.os.path, "lexists", lexists)
    assert case._has_another_name(Path(f"{case.PREFIX}a"), Path(f"{case.PREFIX.upper()}a"))


def test_disk_that_never_shows_a_new_file_is_taken_for_one_that_ignores_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(case.os.path, "lexists", lambda path: False)
    assert case._has_another_name(Path("a"), Path("A"))
