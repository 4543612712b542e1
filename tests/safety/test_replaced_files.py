"""A move into a folder that holds older versions.

rclone deletes those before it renames new files to their names, and finds out too late that between
two disks it has to copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from portal.engine import ConfirmedPlan, Outcome, Run, TransferOrder, rclone_path
from tests.support.keepsakes import kept
from tests.support.mounts import Mounts

NEW = {f"{number:02}.jpg": b"new %d" % number for number in range(10)}


@pytest.fixture
def another_disk() -> Iterator[Path]:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def older(number: int) -> dict[str, bytes]:
    return dict.fromkeys(list(NEW)[:number], b"old version")


def move(source: Path, destination: Path) -> TransferOrder:
    return TransferOrder(7, 1, "move", str(source), str(destination), None, False)


def end(order: TransferOrder, data: Path) -> Outcome:
    run = Run(rclone_path(None), order, data_dir=data)
    try:
        for _ in run.readings(tick=0.02):
            pass
    finally:
        run.close()
    return run.outcome()


def confirmed(order: TransferOrder, data: Path) -> TransferOrder:
    plan = end(replace(order, dry_run=True), data).plan
    assert plan is not None
    return replace(order, confirmed=ConfirmedPlan(plan.deletes, plan.fingerprint, plan.moment))


@pytest.mark.parametrize("disk", ["same", "another"])
@pytest.mark.parametrize("olds", [0, 1, 10])
def test_confirmed_move_replaces_older_versions(
    another_disk: Path, tmp_path: Path, olds: int, disk: str
) -> None:
    source = fill((another_disk if disk == "another" else tmp_path) / "photos", NEW)
    destination = fill(tmp_path / "album", older(olds))
    outcome = end(confirmed(move(source, destination), tmp_path), tmp_path)
    assert outcome.succeeded, (outcome.reason, outcome.error_lines)
    assert kept(source) == {}
    assert kept(destination) == NEW
    assert outcome.progress is not None
    assert outcome.progress.files_transferred == 10
    assert outcome.progress.files_deleted == 0


@pytest.mark.parametrize("older", [b"", b"old", b"new"], ids=["nothing", "older", "equal"])
@pytest.mark.parametrize("disk", ["same", "another"])
def test_moved_file_is_unchanged_only_where_it_was_there(
    another_disk: Path, tmp_path: Path, disk: str, older: bytes
) -> None:
    folder = another_disk if disk == "another" else tmp_path
    source = fill(folder / "photos", {"a.jpg": b"new"}) / "a.jpg"
    destination = fill(tmp_path / "album", {"a.jpg": older} if older else {})
    outcome = end(move(source, destination), tmp_path)
    assert outcome.succeeded, outcome.reason
    assert kept(destination) == {"a.jpg": b"new"}
    assert outcome.progress is not None
    figures = outcome.progress.files_transferred, outcome.progress.files_unchanged
    assert figures == ((0, 1) if older == b"new" else (1, 0))


@pytest.mark.parametrize("olds", [1, 10])
def test_confirmed_move_of_a_folder_in_which_another_disk_is_mounted(
    tmp_path: Path, olds: int
) -> None:
    inside = {f"card/{name}": content for name, content in NEW.items()}
    with Mounts(tmp_path) as mounts:
        mounts.memory(tmp_path / "photos" / "card")
        source = fill(tmp_path / "photos", inside | {"top.jpg": b"on the outer disk"})
        destination = fill(
            tmp_path / "album", {f"card/{name}": old for name, old in older(olds).items()}
        )
        outcome = end(confirmed(move(source, destination), tmp_path), tmp_path)
        assert outcome.succeeded, (outcome.reason, outcome.error_lines)
        assert kept(source) == {}
    assert kept(destination) == inside | {"top.jpg": b"on the outer disk"}


def test_older_version_stays_when_the_new_one_has_no_room(tmp_path: Path) -> None:
    source = fill(tmp_path / "photos", {"film.mov": b"new" * 1_000_000})
    with Mounts(tmp_path) as mounts:
        mounts.memory(tmp_path / "album", "1m")
        destination = fill(tmp_path / "album", {"film.mov": b"old version"})
        outcome = end(move(source, destination), tmp_path)
        assert not outcome.succeeded
        assert kept(destination) == {"film.mov": b"old version"}
    assert kept(source) == {"film.mov": b"new" * 1_000_000}
