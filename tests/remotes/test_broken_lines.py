"""A line that breaks: in the middle of a file, where no figure tells twice what rclone sends again;
and while the first questions are asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.transfers.options import Options
from portal.transfers.states import JobStatus
from tests.support.files import sums
from tests.support.links import breaking
from tests.support.remotes import KINDS
from tests.support.storages import Storage
from tests.support.transfers import Counted, Recorder, counted_bytes, stored

SIZE = 1_500_000


def filled(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(2):
        (folder / f"{number}.bin").write_bytes(os.urandom(SIZE))
    return folder


@pytest.mark.parametrize("direction", ["to", "from"])
def test_bytes_that_were_sent_again_are_no_part_of_any_total(
    tmp_path: Path,
    new_remote: Any,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    events: Recorder,
    root: Path,
    direction: str,
) -> None:
    storage, there = Storage("webdav", tmp_path / "storage"), "folder"
    sent = direction == "to"
    local, remote_folder = root / "local", storage.folder / there
    filled(local if sent else remote_folder)
    breaks = {"breaks": 2, "after": SIZE // 2, "sent": sent}
    with storage, breaking(storage.port, 3_000_000, **breaks) as link:
        remote = new_remote("far", "webdav", storage.options(port=link.port))
        if sent:
            sides = {"source": local, "destination": f"far:{there}"}
            job = new_job(**sides, destination_remote_id=remote.id)
        else:
            sides = {"source": f"far:{there}", "destination": local}
            job = new_job(**sides, source_remote_id=remote.id)
        execute(job)
        assert link.breaks == 0
        # What it reads, it goes on to read where it was.
        assert not sent or link.carried > 2 * SIZE + SIZE // 2, "something was sent twice"
    row = stored(job)
    assert (row.status, row.error) == (JobStatus.COMPLETED, None)
    assert sums(remote_folder) == sums(local)
    assert (row.bytes_transferred, row.total_bytes) == (2 * SIZE, 2 * SIZE)
    assert (row.files_transferred, row.files_total) == (2, 2)
    assert counted_bytes() == Counted(2 * SIZE, 2 * SIZE, 2 * SIZE)
    told = [event.data for event in events.of(job, "job_progress")]
    for event in told:
        assert event["total_bytes"] in (None, 2 * SIZE)
        assert event["bytes_transferred"] <= 2 * SIZE
    for name in ("bytes_transferred", "percent"):
        values = [event[name] or 0 for event in told]
        assert values == sorted(values), name


@pytest.mark.parametrize("breaks", range(1, 7))
@pytest.mark.parametrize("operation", ["copy", "sync"])
@pytest.mark.parametrize("kind", KINDS)
def test_storage_that_is_just_starting_gets_all_the_tries(
    tmp_path: Path,
    new_remote: Any,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    root: Path,
    kind: str,
    operation: str,
    breaks: int,
) -> None:
    """Its first answers are none, whichever question they were to: of some rclone makes answers."""
    filled(root / "local")
    (tmp_path / "storage" / "bucket").mkdir(parents=True)
    storage = Storage(kind, tmp_path / "storage")
    with storage, breaking(storage.port, 50_000_000, breaks=breaks, after=1, sent=True) as link:
        remote = new_remote("far", kind, storage.options(port=link.port))
        execute(
            new_job(
                source=root / "local",
                destination="far:bucket/to",
                destination_remote_id=remote.id,
                operation=operation,
                options=Options(retries=6),
            ),
            backoff=0.01,
        )
        assert link.breaks == 0
    row = stored(1)
    assert (row.status, row.error) == (JobStatus.COMPLETED, None)
    assert sums(storage.folder / "bucket" / "to") == sums(root / "local")
