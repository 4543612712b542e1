"""Folders of this machine that are, or are not, what they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from portal.engine import TransferOrder
from portal.engine.safety import places
from portal.engine.safety.local_ends import LocalEnds
from portal.engine.safety.places import Mount


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    return tmp_path / "from", tmp_path / "to"


def looking(ends: tuple[Path, Path], operation: str = "move") -> LocalEnds:
    source, destination = map(str, ends)
    order = TransferOrder(7, 1, operation, source, destination, None, dry_run=False)
    local_ends = LocalEnds(order)
    local_ends.note()
    return local_ends


def test_nothing_is_told_of_what_stays_or_was_never_noted(ends: tuple[Path, Path]) -> None:
    local_ends = looking(ends)
    (ends[0] / "new").write_bytes(b"1")
    (ends[1] / "folder").mkdir()
    assert local_ends.changed() is None
    ends[0].rename(ends[0].with_name("away"))
    assert "The source" in str(local_ends.changed())
    local_ends.forget()
    assert local_ends.changed() is None


def test_destination_that_is_made_later_is_noted_then(ends: tuple[Path, Path]) -> None:
    ends[1].rmdir()
    local_ends = looking(ends)
    ends[1].mkdir()
    assert local_ends.changed() is None
    ends[1].rename(ends[1].with_name("away"))
    ends[1].mkdir()
    assert "The destination" in str(local_ends.changed())


def test_one_file_may_go_and_another_take_its_name(ends: tuple[Path, Path]) -> None:
    (ends[0] / "a").write_bytes(b"1")
    local_ends = looking((ends[0] / "a", ends[1]))
    (ends[0] / "a").unlink()
    assert local_ends.changed() is None
    (ends[0] / "a").write_bytes(b"2")
    assert local_ends.changed() is None


@pytest.mark.parametrize(
    ("inner", "kind", "operation", "told"),
    [
        ("disk", "ext4", "move", True),
        ("deep/disk", "fuse.mergerfs", "sync", True),
        ("disk", "ext4", "copy", False),  # a backup of a whole machine
        ("share/photos", "nfs4", "move", False),  # mounted on demand
        (".zfs/snapshot/daily", "zfs", "move", False),
    ],
)
def test_mounts_inside_an_end_matter_to_what_deletes(
    monkeypatch: pytest.MonkeyPatch,
    ends: tuple[Path, Path],
    inner: str,
    kind: str,
    operation: str,
    told: bool,
) -> None:
    root = Mount(1, "8:1", "/", "/", "ext4", "/dev/sda1")
    on_demand = replace(root, number=2, point=f"{ends[0]}/share", kind="autofs", source="auto")
    table = [root, on_demand]
    monkeypatch.setattr(places, "mounts", lambda: table)
    local_ends = looking(ends, operation)
    table.append(replace(root, number=3, device="8:9", point=f"{ends[0]}/{inner}", kind=kind))
    assert (local_ends.changed() is not None) is told
