"""A pool shows several disks as one folder. A move from one of its disks into it finds every file
there already, and would delete the only copy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.engine.safety import refusals
from tests.support.attempts import Attempts, Servers
from tests.support.keepsakes import kept, markers, photographs

Mount = Callable[..., Path]


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a pool of an empty disk, which is written to, and the given one."""
    mounted: list[Path] = []

    def mount(lower: Path, merged: Path = tmp_path / "merged") -> Path:
        upper, work = tmp_path / "upper", tmp_path / "work"
        for folder in (upper, work, merged):
            folder.mkdir(parents=True)
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        done = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"overlays are not permitted here: {done.stderr.strip()}")
        mounted.append(merged)
        return merged

    yield mount
    for merged in mounted:
        subprocess.run(["umount", "--lazy", str(merged)], check=True)


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("inner", ["", "2026", "2026/summer"])
def test_disk_of_an_overlay_is_not_moved_into_it(
    attempts: Attempts, overlay: Mount, tmp_path: Path, guarded: bool, inner: str
) -> None:
    disk = tmp_path / "disk"
    before = photographs(disk)
    pool = overlay(disk)
    run = attempts.confirmed if guarded else attempts.run
    outcome = run("move", disk / inner, pool / inner)
    assert outcome.reason == refusals.ONE_PLACE
    assert kept(disk) == before
    assert kept(pool) == before
    assert [*markers(disk), *markers(pool)] == []


def test_overlay_is_not_moved_into_its_disk(
    attempts: Attempts, overlay: Mount, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    before = photographs(disk)
    pool = overlay(disk)
    assert not attempts.run("move", pool, disk).succeeded
    assert kept(pool) == before


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("below", ["2026", "2026/summer"])
@pytest.mark.parametrize("into_pool", [True, False])
def test_pool_below_one_end_that_shows_a_folder_of_the_other_is_found(
    attempts: Attempts, overlay: Mount, tmp_path: Path, guarded: bool, below: str, into_pool: bool
) -> None:
    disk, other = tmp_path / "disk", tmp_path / "other"
    before = photographs(disk)
    overlay(disk / below, other / below)
    ends = (disk, other) if into_pool else (other, disk)
    run = attempts.confirmed if guarded else attempts.run
    outcome = run("move", *ends)
    assert outcome.reason == refusals.SHARED_FOLDER.format(below)
    assert kept(disk) == before
    assert [*markers(disk), *markers(other / below)] == []


@pytest.mark.parametrize("kind", ["sftp", "webdav"])
@pytest.mark.parametrize("into_pool", [True, False])
def test_disk_of_a_pool_on_a_server_is_told_apart_from_no_other(
    attempts: Attempts, servers: Servers, tmp_path: Path, kind: str, into_pool: bool
) -> None:
    """As mergerfs on a home server: new files go to the first disk, which has the same folders."""
    first, second = tmp_path / "first", tmp_path / "second"
    before = photographs(second / "photos")
    (first / "photos" / "2026" / "summer").mkdir(parents=True)
    policies = "create_policy=ff,search_policy=ff"
    shows = f":union,upstreams='{first} {second}',{policies}:"
    server = servers.start(kind, tmp_path / "home", "--dir-cache-time=0s", shows=shows)
    pool = servers.remote("pool", server)
    ends = [str(second / "photos"), "pool:photos"]
    outcome = attempts.run("move", *(ends if into_pool else reversed(ends)), pool)
    assert outcome.reason == refusals.ONE_PLACE, outcome
    assert kept(second / "photos") == before
    assert markers(tmp_path) == []


def test_true_move_into_an_overlay_is_done(
    attempts: Attempts, overlay: Mount, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    pool = overlay(tmp_path / "disk")
    before = photographs(tmp_path / "card")
    assert attempts.run("move", tmp_path / "card", pool / "card").succeeded
    assert kept(pool / "card") == before
    assert kept(tmp_path / "card") == {}
