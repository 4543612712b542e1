"""Jobs from, to and between real storages: what arrives is what was sent, whatever its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.models import Job
from portal.transfers.options import Options
from portal.transfers.states import JobStatus
from tests.support.files import fill, sums
from tests.support.remotes import KINDS
from tests.support.storages import Storage
from tests.support.transfers import stored
from tests.support.waiting import wait_for


@pytest.fixture
def run(new_job: Callable[..., int], execute: Callable[..., None]) -> Callable[..., Job]:
    """Makes a job, runs it to its end and gives its row."""

    def finish(**job_fields: Any) -> Job:
        number = new_job(**job_fields)
        execute(number)
        return stored(number)

    return finish


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_again(
    storages: Callable[[str], Storage],
    new_remote: Any,
    run: Callable[..., Job],
    root: Path,
    kind: str,
) -> None:
    remote = new_remote("there", kind, storages(kind).options())
    sent = sums(fill(root / "sent"))
    there = {"destination": "there:bucket/a copy", "destination_remote_id": remote.id}
    back = {"source": "there:bucket/a copy", "source_remote_id": remote.id}
    out = run(source=root / "sent", **there)
    assert (out.status, out.error) == (JobStatus.COMPLETED, None)
    assert out.percent == 100
    assert sums(storages(kind).folder / "bucket" / "a copy") == sent
    home = run(**back, destination=root / "back")
    assert (home.status, home.error) == (JobStatus.COMPLETED, None)
    assert sums(root / "back") == sent
    compared = run(operation="check", source=root / "sent", **there)
    assert (compared.status, compared.error) == (JobStatus.COMPLETED, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", ["copy", "move"])
def test_empty_folders_arrive_or_are_counted(
    storages: Callable[[str], Storage],
    new_remote: Any,
    run: Callable[..., Job],
    root: Path,
    kind: str,
    operation: str,
) -> None:
    remote = new_remote("there", kind, storages(kind).options())
    for name in ("one", "two/inner"):
        (root / "sent" / name).mkdir(parents=True)
        os.utime(root / "sent" / name, (1e9, 1e9))
    (root / "sent" / "full").mkdir()
    (root / "sent" / "full" / "file").write_text("hello")
    there = {"destination": f"there:bucket/empty {operation}", "destination_remote_id": remote.id}
    job = run(source=root / "sent", operation=operation, **there)
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    arrived = storages(kind).folder / "bucket" / f"empty {operation}"
    holds = kind != "s3"
    assert (arrived / "two" / "inner").is_dir() == (arrived / "one").is_dir() == holds
    assert job.left_out_names == (None if holds else {"empty_folders": 2})
    kept = operation == "copy" or not holds
    assert (root / "sent" / "two" / "inner").is_dir() == kept


@pytest.mark.parametrize(("begin", "end"), [("s3", "sftp"), ("webdav", "s3"), ("ftp", "webdav")])
def test_from_storage_to_storage(
    storages: Callable[[str], Storage],
    new_remote: Any,
    run: Callable[..., Job],
    begin: str,
    end: str,
) -> None:
    sent = sums(storages(begin).folder / "outbox")
    one = new_remote("one", begin, storages(begin).options())
    other = new_remote("other", end, storages(end).options())
    job = run(
        source="one:outbox",
        source_remote_id=one.id,
        destination=f"other:inbox/{begin}",
        destination_remote_id=other.id,
    )
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert sums(storages(end).folder / "inbox" / begin) == sent


def test_five_thousand_objects_arrive_and_go_back(
    storages: Callable[[str], Storage], new_remote: Any, run: Callable[..., Job], root: Path
) -> None:
    many = storages("s3").folder / "many"
    remote = new_remote("bucket", "s3", storages("s3").options())
    job = run(source="bucket:many", source_remote_id=remote.id, destination=root / "many")
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert (job.files_transferred, job.files_total) == (5000, 5000)
    assert sums(root / "many") == sums(many)
    back = {"destination": "bucket:many-again", "destination_remote_id": remote.id}
    job = run(source=root / "many", **back, options=Options(transfers=16))
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert job.files_transferred == 5000
    assert sums(storages("s3").folder / "many-again") == sums(many)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_password_fails_with_the_reason(
    storages: Callable[[str], Storage],
    new_remote: Any,
    run: Callable[..., Job],
    root: Path,
    kind: str,
) -> None:
    storage = storages(kind)
    remote = new_remote("locked", kind, storage.options() | storage.wrong())
    fill(root / "sent")
    job = run(source=root / "sent", destination="locked:bucket/x", destination_remote_id=remote.id)
    assert job.status == JobStatus.FAILED
    refused = "The storage did not accept the credentials."
    if kind == "s3":  # which says no more than that it does not let one look
        refused = "The storage does not allow this with these credentials."
    assert str(job.error).startswith(refused)


def test_bucket_that_does_not_exist_fails_with_the_reason(
    storages: Callable[[str], Storage], new_remote: Any, run: Callable[..., Job], root: Path
) -> None:
    remote = new_remote("there", "s3", storages("s3").options())
    job = run(source="there:nothing", source_remote_id=remote.id, destination=root / "x")
    assert job.status == JobStatus.FAILED
    assert job.error == "The source folder does not exist. Check its path, then retry."


def test_server_that_cannot_be_reached_fails_with_the_reason(
    storages: Callable[[str], Storage], new_remote: Any, run: Callable[..., Job], root: Path
) -> None:
    remote = new_remote("away", "sftp", storages("sftp").options(port=1))
    job = run(source="away:x", source_remote_id=remote.id, destination=root / "x")
    assert job.status == JobStatus.FAILED
    assert str(job.error).startswith("The storage's server refuses the connection.")


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_server_that_dies_in_mid_transfer_costs_no_file(
    new_remote: Any,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    executor: Any,
    root: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    storage = Storage(kind, tmp_path / "storage").start()
    try:
        for number in range(12):
            path = storage.folder / "bucket" / f"part {number}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(os.urandom(400_000))
        remote = new_remote("frail", kind, storage.options())
        job_fields = {"source": "frail:bucket", "source_remote_id": remote.id}
        job = new_job(**job_fields, destination=root / "copy", bandwidth_limit="1M")
        wait_for(lambda: stored(job).bytes_transferred > 300_000, 30)
        storage.stop()
        wait_for((root / "copy").exists)
        storage.start()
        ended = wait_for(lambda: (row := stored(job)).finished_at and row, 60)
        if ended.status != JobStatus.COMPLETED:
            # rclone's own tries may all have fallen into the gap; then the reason says so, and
            # a retry takes what is missing.
            assert ended.error
            assert "rclone" not in ended.error
            job = new_job(**job_fields, destination=root / "copy")
            ended = wait_for(lambda: (row := stored(job)).finished_at and row, 60)
        assert (ended.status, ended.error) == (JobStatus.COMPLETED, None)
        assert sums(root / "copy") == sums(storage.folder / "bucket")
        assert not list((root / "copy").rglob("*.portal*-*"))
    finally:
        storage.stop()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", ["copy", "move"])
def test_destination_that_is_a_file_is_reported_at_once(
    tmp_path: Path,
    new_remote: Any,
    run: Callable[..., Job],
    root: Path,
    kind: str,
    operation: str,
) -> None:
    """No other try would find a folder there."""
    held = tmp_path / "storage" / "bucket" / "taken"
    held.parent.mkdir(parents=True)
    held.write_text("a file")
    before = sums(fill(root / "from"))
    with Storage(kind, tmp_path / "storage") as storage:
        remote = new_remote("nas", kind, storage.options())
        job = run(
            operation=operation,
            source=root / "from",
            destination="nas:bucket/taken",
            destination_remote_id=remote.id,
            options=Options(retries=9),
        )
    assert job.status == JobStatus.FAILED
    assert job.error == "The destination is, or lies below, a file. Choose a folder."
    assert sums(root / "from") == before
    assert held.read_text() == "a file"
