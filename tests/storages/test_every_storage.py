"""Every storage that is offered, met: its remote made by the form, tested, browsed, copied to and
from, compared, synced and moved with the guard. All bytes are compared by another rclone than the
portal's."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from portal.engine.safety import refusals
from portal.transfers.states import JobStatus
from tests.storages.met import Storage, completed
from tests.storages.servers import KINDS
from tests.support.files import fill, sums

EVERY = pytest.mark.parametrize("kind", KINDS)


@EVERY
def test_from_the_form_to_the_last_byte(storage: Storage, root: Path, tmp_path: Path) -> None:
    storage.add()
    assert storage.verdict().startswith("Works: ")
    local, far = root / "sent", f"nas:{storage.top}a copy"
    sent = sums(fill(local))

    assert completed(storage.transfer("copy", local, far))
    assert storage.fetched("a copy", tmp_path / "copied") == sent
    assert completed(storage.transfer("copy", far, root / "back"))
    assert sums(root / "back") == sent
    page = storage.bob.get("/browse", query_string={"at": far}).text
    assert "two words &amp; more.txt" in page
    assert "inner folder" in page
    assert completed(storage.transfer("check", local, far))

    (local / "plain.txt").unlink()
    (local / "a new one").write_bytes(os.urandom(500))
    assert completed(storage.transfer("sync", local, far))
    assert storage.fetched("a copy", tmp_path / "synced") == sums(local)

    going = fill(root / "going")
    leaving = sums(going)
    assert completed(storage.transfer("move", going, f"nas:{storage.top}moved"))
    assert storage.fetched("moved", tmp_path / "moved") == leaving
    assert not [path for path in going.rglob("*") if path.is_file()]
    assert completed(storage.transfer("move", f"nas:{storage.top}moved", root / "home"))
    assert sums(root / "home") == leaving
    rest = storage.rclone("lsf", "--files-only", "-R", f"far:{storage.top}moved")
    assert rest.stdout == ""


@EVERY
def test_wrong_secret_is_reported_and_costs_nothing(storage: Storage, root: Path) -> None:
    wrong = dict(storage.server.kind.wrong)
    if not wrong:
        pytest.skip(f"{storage.server.kind.server} lets everybody in")
    storage.add("locked", **wrong)
    assert re.match(
        r"(The storage|Azure) did not accept (the credentials|account and key)",
        storage.verdict("locked"),
    )
    going = fill(root / "going")
    before = sums(going)
    job = storage.transfer("move", going, f"locked:{storage.top}there")
    assert job.status == JobStatus.FAILED
    assert job.error
    assert sums(going) == before


@pytest.mark.parametrize("kind", ["smb", "azure", "google"])
def test_copy_to_no_share_bucket_or_container_is_refused_at_once(
    storage: Storage, root: Path
) -> None:
    storage.add("nas")
    job = storage.transfer("copy", fill(root / "going"), "nas:")
    assert job.status == JobStatus.FAILED
    assert job.error == refusals.NO_BUCKET
