"""A file changes and keeps its length: at every storage the new content arrives, or it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portal.states import JobStatus
from tests.remotes.files import sums
from tests.storages.met import Storage, completed
from tests.storages.servers import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_changed_file_of_the_same_length_arrives_before_its_source_goes(
    storage: Storage, root: Path, tmp_path: Path
) -> None:
    storage.add()
    local, far = root / "sent", f"nas:{storage.top}kept"
    (local / "inner").mkdir(parents=True)
    for name in ("one", "inner/two"):
        (local / name).write_bytes(os.urandom(3000))
    assert completed(storage.transfer("copy", local, far))
    for operation in ("copy", "sync", "move"):
        (local / "one").write_bytes(os.urandom(3000))
        wanted = sums(local)
        job = storage.transfer(operation, local, far)
        arrived = storage.fetched("kept", tmp_path / operation) == wanted
        if job.status == JobStatus.COMPLETED:
            assert arrived, f"{operation} says completed"
        else:
            assert sums(local) == wanted, "nothing is lost"
            assert job.error
