"""Storages that stop to answer in the middle of a transfer, break, refuse and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.services.actor import Actor
from portal.services.jobs import control
from portal.settings import Settings
from portal.transfers.options import Options
from tests.support.client import Browser
from tests.support.storages import Storage
from tests.support.transfers import MIB, fill, rclones, status_of, stored, tree
from tests.support.waiting import wait_for

TIMEOUT = 6.0
#: A third of it, and until the buffers of the kernel are full, and what the looks take.
TOLD = 2.0 + 8.0
KINDS = ("sftp", "webdav", "ftp", "s3")
#: Before the second try: as long as somebody who looks now and then needs to see it.
BACKOFF = 2.0
SAID = "Nothing arrives from nas; trying again"


@pytest.fixture
def storage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Storage]:
    (tmp_path / "storage/bucket").mkdir(parents=True)
    with Storage(request.param, tmp_path / "storage") as server:
        yield server
        server.thaw()


@pytest.fixture
def begin(execute: Callable[..., None], settings: Settings) -> Iterator[Callable[..., Any]]:
    """Runs a job in a thread, with little patience."""
    threads = []

    def run(job_id: int, patience: float = TIMEOUT) -> threading.Thread:
        kwargs = {"backoff": BACKOFF, "storage_patience_seconds": patience}
        threads.append(threading.Thread(target=execute, args=(job_id,), kwargs=kwargs))
        threads[-1].start()
        return threads[-1]

    yield run
    for thread in threads:
        thread.join(60)
    assert rclones(settings.data_dir) == []


@pytest.fixture
def upload(storage: Storage, new_remote: Any, new_job: Any, root: Path) -> Callable[..., int]:
    """Two seconds of copying to the storage at least."""

    def make(**options: Any) -> int:
        remote = new_remote("nas", storage.kind, storage.options())
        source = fill(root / "from", 3 * MIB, 8)
        more: dict[str, Any] = {"bandwidth_limit": "6M"} | options
        return int(
            new_job(
                source=source,
                destination="nas:bucket/to",
                destination_remote_id=remote.id,
                **more,
            )
        )

    return make


def stored_there(storage: Storage) -> dict[bytes, bytes]:
    """Without what rclone's server for S3 leaves behind when it is itself killed."""
    files = tree(storage.folder / "bucket/to")
    return {name: text for name, text in files.items() if b".rclone_temp_put_" not in name}


def shown(browser: Callable[..., Browser], job_id: int) -> tuple[Any, str]:
    bob = browser("bob")
    told = bob.get(f"/api/v1/jobs/{job_id}").json
    return told, bob.get(f"/api/jobs/{job_id}/progress").text


@pytest.mark.parametrize("storage", KINDS, indirect=True)
def test_silence_is_reported_soon_and_goes_away_when_the_storage_answers_again(
    storage: Storage, upload: Any, begin: Any, root: Path, browser: Callable[..., Browser]
) -> None:
    job_id = upload()
    begin(job_id, 15.0)
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    assert stored(job_id).trouble is None
    storage.freeze()
    wait_for(lambda: stored(job_id).trouble, 5.0 + 8.0)
    told, row = shown(browser, job_id)
    assert (told["trouble"], told["status"]) == (SAID, "running")
    assert told["storage_silent_since"] is not None
    assert SAID in row
    storage.thaw()
    wait_for(lambda: stored(job_id).trouble is None, 5)
    told, row = shown(browser, job_id)
    assert (told["trouble"], told["storage_silent_since"]) == (None, None)
    assert SAID not in row
    wait_for(lambda: status_of(job_id) == "completed", 40)
    assert stored_there(storage) == tree(root / "from")


@pytest.mark.parametrize("storage", KINDS, indirect=True)
def test_storage_that_stays_silent_is_given_up_in_the_promised_time(
    storage: Storage, upload: Any, begin: Any, root: Path
) -> None:
    job_id = upload(options=Options(retries=0))
    begin(job_id)
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    storage.freeze()
    frozen_at = time.monotonic()
    wait_for(lambda: stored(job_id).trouble == SAID, TOLD)
    # The grace of the tests' worker is two seconds more.
    wait_for(lambda: status_of(job_id) == "failed", TIMEOUT + 2 + 8)
    assert time.monotonic() - frozen_at >= TIMEOUT - 1
    job = stored(job_id)
    assert (job.error or "").startswith("Nothing arrived from nas for ")
    assert (job.trouble, job.storage_silent_since) == (None, None)


@pytest.mark.parametrize("storage", ["sftp", "s3"], indirect=True)
def test_silent_storage_is_tried_again_and_what_the_dead_try_left_is_gone(
    storage: Storage, upload: Any, begin: Any, root: Path
) -> None:
    job_id = upload(options=Options(retries=4))
    begin(job_id)
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    storage.freeze()
    wait_for(lambda: "; try 2 of 5" in (stored(job_id).trouble or ""), 20)
    assert stored(job_id).next_try_at is not None
    storage.thaw()
    wait_for(lambda: status_of(job_id) == "completed", 60)
    assert stored(job_id).trouble is None
    assert stored_there(storage) == tree(root / "from")


@pytest.mark.parametrize("storage", KINDS, indirect=True)
def test_storage_that_dies_and_comes_back_gets_all_the_tries(
    storage: Storage, upload: Any, begin: Any, root: Path
) -> None:
    job_id = upload(options=Options(retries=6))
    begin(job_id, 20.0)
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    storage.stop()
    wait_for(lambda: "; try 2 of 7" in (stored(job_id).trouble or ""), 60)
    storage.start()
    wait_for(lambda: status_of(job_id) == "completed", 90)
    assert stored_there(storage) == tree(root / "from")


@pytest.mark.parametrize("storage", KINDS, indirect=True)
def test_storage_that_is_silent_from_the_start_is_reported_too(
    storage: Storage, upload: Any, begin: Any, root: Path
) -> None:
    job_id = upload()
    storage.freeze()
    begin(job_id, 9.0)
    wait_for(lambda: stored(job_id).trouble == SAID, TOLD)
    storage.thaw()
    wait_for(lambda: status_of(job_id) == "completed", 40)
    assert stored_there(storage) == tree(root / "from")


@pytest.mark.parametrize("storage", ["sftp"], indirect=True)
def test_download_from_a_silent_storage_is_reported_and_given_up_too(
    storage: Storage, new_remote: Any, new_job: Any, begin: Any, root: Path
) -> None:
    fill(storage.folder / "bucket/from", 3 * MIB, 4)
    remote = new_remote("nas", storage.kind, storage.options())
    job_id = new_job(
        source="nas:bucket/from",
        source_remote_id=remote.id,
        destination=root / "to",
        bandwidth_limit="4M",
        options=Options(retries=0),
    )
    begin(job_id)
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    storage.freeze()
    wait_for(lambda: stored(job_id).trouble == SAID, TOLD)
    wait_for(lambda: status_of(job_id) == "failed", TIMEOUT + 2 + 8)
    assert (stored(job_id).error or "").startswith("Nothing arrived from nas for ")


@pytest.mark.parametrize("storage", ["webdav"], indirect=True)
def test_pause_is_no_silence(
    app: Flask, storage: Storage, upload: Any, begin: Any, root: Path, user: Any
) -> None:
    job_id = upload()
    begin(job_id, 3.0)
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    with app.app_context():
        control.pause(job_id, actor=Actor(user("bob")))
    until = time.monotonic() + 6
    while time.monotonic() < until:
        assert stored(job_id).trouble is None
        time.sleep(0.2)
    with app.app_context():
        control.resume(job_id, actor=Actor(user("bob")))
    wait_for(lambda: status_of(job_id) == "completed", 40)
    assert stored_there(storage) == tree(root / "from")


@pytest.mark.parametrize("storage", ["sftp"], indirect=True)
def test_slow_transfer_is_not_silent(
    storage: Storage, new_remote: Any, new_job: Any, begin: Any, root: Path
) -> None:
    """Under a limit the bytes come in bursts."""
    remote = new_remote("nas", storage.kind, storage.options())
    job_id = new_job(
        source=fill(root / "from", 400_000, 1),
        destination="nas:bucket/to",
        destination_remote_id=remote.id,
        bandwidth_limit="50K",
    )
    begin(job_id, 3.0)
    while not stored(job_id).finished_at:
        assert stored(job_id).trouble is None
        time.sleep(0.1)
    assert status_of(job_id) == "completed"
