"""A server is killed in mid-transfer: the job ends with the truth, and no file is lost."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from portal.settings import Settings, load_settings
from portal.transfers.states import JobStatus
from tests.storages.met import Storage, completed
from tests.support.files import sums
from tests.support.transfers import stored
from tests.support.waiting import wait_for

#: What these have in memory is gone with them, so that nothing may be moved there.
FORGETFUL = {"azure", "google"}
#: What a try left that could not tidy up, and what rclone's own server for S3 leaves.
REMNANT = re.compile(r"\.portal[0-9a-z]+-[0-9a-z]+$|\.rclone_temp_put_")
TIMEOUT = 15.0


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    return load_settings(
        data_dir=tmp_path / "data",
        transfer_roots=(root,),
        remotes_allow_local=True,
        storage_patience_seconds=TIMEOUT,
    )


def whole(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if not REMNANT.search(name)}


@pytest.mark.parametrize(
    "kind", ["smb", "azure", "google", "s3", "ftp with TLS", "webdav", "sftp without hashes"]
)
def test_server_killed_in_mid_transfer_costs_no_file(
    storage: Storage, executor: Any, root: Path, tmp_path: Path, kind: str
) -> None:
    storage.add()
    going = root / "going"
    going.mkdir()
    for number in range(10):
        (going / f"part {number}").write_bytes(os.urandom(400_000))
    before = sums(going)
    job_fields = {
        "name": "Long",
        "operation": "copy" if kind in FORGETFUL else "move",
        "source": str(going),
        "destination": f"nas:{storage.top}there",
        "bandwidth_limit": "1M",
        "retries": "0",
    }
    number = storage.post(job_fields)
    wait_for(lambda: stored(number).bytes_transferred > 300_000, 60)
    storage.server.stop()
    ended = wait_for(lambda: (row := stored(number)).finished_at and row, TIMEOUT + 60)
    assert ended.status == JobStatus.FAILED
    assert str(ended.error).startswith(("The storage", "The connection", "Nothing")), ended.error
    storage.server.start()
    kept = sums(going)
    if kind not in FORGETFUL:
        # A half of a file may lie there under its name, as with WebDAV, while it is here whole.
        kept = storage.fetched("there", tmp_path / "rest") | kept
    assert {name: kept[name] for name in before} == before
    again = storage.post(job_fields | {"bandwidth_limit": ""})
    ended = wait_for(lambda: (row := stored(again)).finished_at and row, 120)
    assert completed(ended)
    assert whole(storage.fetched("there", tmp_path / "all")) == before
