"""A disk of this machine that takes A.txt and a.txt for one name, as sticks and cards do: a real
mount, made by rclone from a folder."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.engine import rclone_path
from portal.transfers.states import JobStatus
from tests.support.files import fill, sums
from tests.support.transfers import stored
from tests.support.waiting import wait_for

HERE = Path(__file__).resolve().parent


@pytest.fixture
def disk(root: Path, tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("to mount a disk takes root")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("this machine has no FUSE")
    behind, folder = tmp_path / "behind", root / "stick"
    behind.mkdir()
    folder.mkdir()
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [
            *(str(rclone_path(None)), "mount", str(behind), str(folder), "--config", ""),
            *("--vfs-case-insensitive", "--vfs-cache-mode", "writes", "--dir-cache-time", "0s"),
            # Later than any test ends: a file that gets its name or time while rclone writes it
            # behind the mount is lost.
            *("--vfs-write-back", "1h", "--cache-dir", str(tmp_path / "cache")),
            "--inplace",  # no file is seen under another name while it is written behind it
        ],
        env={"PATH": f"{HERE / 'serve' / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        stderr=log,
    )
    try:
        wait_for(lambda: process.poll() is not None or os.path.ismount(folder), 20)
        if process.poll() is not None:
            pytest.skip(f"nothing can be mounted: {(tmp_path / 'log').read_text()[:300]}")
        yield folder
    finally:
        ctypes.CDLL(None).umount2(str(folder).encode(), 2)
        process.terminate()
        process.wait(20)
        log.close()


def test_disk_ignores_case_indeed(disk: Path) -> None:
    (disk / "Letter").write_text("one")
    (disk / "letter").write_text("two")
    assert [path.read_text() for path in disk.iterdir()] == ["two"]


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
def test_two_names_that_fall_together_cost_no_file(
    disk: Path,
    root: Path,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    operation: Any,
) -> None:
    source = root / "from"
    (source / "inner").mkdir(parents=True)
    for name in ("A.txt", "a.txt", "inner/Photo.JPG", "inner/photo.jpg", "alone"):
        (source / name).write_text(f"the content of {name}")
    before = sums(source)
    number = new_job(operation=operation, source=source, destination=disk / "to")
    execute(number)
    job = stored(number)
    assert job.status == JobStatus.FAILED
    assert "A.txt" in str(job.error)
    assert sums(source) == before


@pytest.mark.parametrize("operation", ["copy", "move"])
def test_other_names_arrive(
    disk: Path,
    root: Path,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    operation: Any,
) -> None:
    before = sums(fill(root / "from"))
    number = new_job(operation=operation, source=root / "from", destination=disk / "to")
    execute(number)
    job = stored(number)
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert sums(disk / "to") == before
