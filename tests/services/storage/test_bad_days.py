"""Storages on a bad day: a slow line, a disk that is full, a server that dies while it is written
to, or on either side of two storages."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.services.actor import Actor
from portal.services.jobs import control
from portal.transfers.states import JobStatus
from tests.support.files import sums
from tests.support.links import slow
from tests.support.remotes import KINDS
from tests.support.storages import Storage
from tests.support.transfers import stored
from tests.support.waiting import wait_for

#: What a server without room tells of its disk is up to it, and not the same each time.
SAID = (
    "A file is larger than the destination can hold.",
    "The storage reported an internal error; it may be full or busy.",
    "The storage does not allow this kind of request. It may be read-only or full",
    "The transfer failed. Check the errors",
)


@pytest.fixture
def storage_of(tmp_path: Path) -> Iterator[Callable[..., Storage]]:
    """Storages of this test alone, so that it may spoil them."""
    running: list[Storage] = []

    def start(kind: str, largest_file: int | None = None) -> Storage:
        made = Storage(kind, tmp_path / f"{kind} of this test {len(running)}", largest_file)
        (made.folder / "bucket").mkdir(parents=True)
        running.append(made.start())
        return made

    yield start
    for storage in running:
        storage.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_slow_line_only_takes_longer(
    app: Flask,
    user: Any,
    storage_of: Callable[..., Storage],
    new_remote: Any,
    new_job: Callable[..., int],
    executor: Any,
    root: Path,
    kind: str,
) -> None:
    storage = storage_of(kind)
    (root / "sent").mkdir()
    for number in range(4):
        (root / "sent" / f"{number} %41.bin").write_bytes(os.urandom(100_000))
    with slow(storage.port, rate=150_000) as link:
        remote = new_remote("far", kind, storage.options(port=link.port))
        there = {"destination": "far:bucket/x", "destination_remote_id": remote.id}
        begun = time.monotonic()
        # FTP opens a connection of its own for each file, past the link, so that this alone slows
        # it down: ten seconds, but for that it is lifted as soon as a figure was seen.
        job = new_job(source=root / "sent", **there, bandwidth_limit="40k")
        seen = wait_for(lambda: 0 < (row := stored(job)).bytes_transferred < 400_000 and row, 30)
        assert seen.status == JobStatus.RUNNING
        assert 0 < seen.percent < 100
        with app.app_context():
            control.limit(job, "300k", actor=Actor(user("bob")))
        ended = wait_for(lambda: (row := stored(job)).finished_at and row, 60)
        assert (ended.status, ended.error) == (JobStatus.COMPLETED, None)
        assert time.monotonic() - begun > 0.8
        assert link.carried > (1_000 if kind == "ftp" else 400_000)
    assert sums(storage.folder / "bucket" / "x") == sums(root / "sent")


@pytest.mark.parametrize("kind", KINDS)
def test_storage_without_room_fails_with_a_reason_and_keeps_the_source(
    storage_of: Callable[..., Storage],
    new_remote: Any,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    root: Path,
    kind: str,
) -> None:
    """Its server may write no file beyond 200,000 bytes, which is what its system then tells it."""
    storage = storage_of(kind, largest_file=200_000)
    (root / "sent").mkdir()
    (root / "sent" / "small").write_bytes(b"x" * 1000)
    (root / "sent" / "large").write_bytes(os.urandom(1_000_000))
    before = sums(root / "sent")
    remote = new_remote("full", kind, storage.options())
    there = {"destination": "full:bucket/x", "destination_remote_id": remote.id}
    execute(number := new_job(source=root / "sent", **there, operation="move"))
    job = stored(number)
    assert job.status == JobStatus.FAILED
    assert job.error is not None
    assert job.error.startswith(SAID)
    arrived = {
        name: found
        for name, found in sums(storage.folder / "bucket" / "x").items()
        if found in before.values()
    }
    assert sums(root / "sent") | arrived == before
    assert "large" in sums(root / "sent")


@pytest.mark.parametrize(
    ("begin", "end", "dies"),
    [(None, "webdav", "end"), (None, "ftp", "end"), ("s3", "sftp", "begin"), ("s3", "sftp", "end")],
)
def test_server_that_dies_and_comes_back_costs_no_file(
    storage_of: Callable[..., Storage],
    new_remote: Any,
    new_job: Callable[..., int],
    executor: Any,
    root: Path,
    begin: str | None,
    end: str,
    dies: str,
) -> None:
    """While it is written to, and on either side between two storages."""
    there = storage_of(end)
    here = storage_of(begin) if begin else None
    folder = here.folder / "bucket" / "from" if here else root / "from"
    folder.mkdir()
    for number in range(12):
        (folder / f"part {number}").write_bytes(os.urandom(400_000))
    remote = new_remote("there", end, there.options())
    job_fields = {
        "source": str(folder),
        "destination": "there:bucket/copy",
        "destination_remote_id": remote.id,
    }
    if here and begin:
        job_fields |= {
            "source": "here:bucket/from",
            "source_remote_id": new_remote("here", begin, here.options()).id,
        }
    job = new_job(**job_fields, bandwidth_limit="1M")
    wait_for(lambda: stored(job).bytes_transferred > 300_000, 30)
    frail = there if dies == "end" else here
    assert frail is not None
    frail.stop()
    wait_until_missed(frail, lambda: stored(job).finished_at is not None)
    frail.start()
    ended = wait_for(lambda: (row := stored(job)).finished_at and row, 90)
    if ended.status != JobStatus.COMPLETED:
        assert ended.error
        assert "rclone" not in ended.error
        job = new_job(**job_fields)
        ended = wait_for(lambda: (row := stored(job)).finished_at and row, 60)
    assert (ended.status, ended.error) == (JobStatus.COMPLETED, None)
    assert sums(there.folder / "bucket" / "copy") == sums(folder)


def wait_until_missed(storage: Storage, given_up: Callable[[], bool]) -> None:
    """Until somebody has come to its door in vain, or will not come any more."""

    def missed() -> bool:
        try:
            door.accept()[0].close()
        except TimeoutError:
            return given_up()
        return True

    with socket.create_server(("127.0.0.1", storage.port)) as door:
        door.settimeout(0.1)
        wait_for(missed, 30)
