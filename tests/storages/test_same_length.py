"""A file changes and keeps its length: at every storage the new content arrives, or it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portal.transfers.states import JobStatus
from tests.storages.met import Storage, completed
from tests.storages.servers import KINDS
from tests.support.files import sums

NOON = 1_700_000_000.2


@pytest.mark.parametrize("kind", KINDS)
def test_changed_file_of_the_same_length_arrives_before_its_source_goes(
    storage: Storage, root: Path, tmp_path: Path
) -> None:
    storage.add()
    local, far = root / "sent", f"nas:{storage.top}kept"
    (local / "inner").mkdir(parents=True)
    (local / "inner" / "two").write_bytes(os.urandom(3000))
    write(local / "one", NOON)
    assert completed(storage.transfer("copy", local, far))
    # Many storages know whole seconds: a move must not go by them, nor by a time that was set back.
    steps = (("copy", 10.0), ("sync", 20.0), ("move", 20.4), ("move", 20.4))
    for number, (operation, later) in enumerate(steps):
        write(local / "one", NOON + later)
        wanted = sums(local)
        job = storage.transfer(operation, local, far)
        arrived = wanted.items() <= storage.fetched("kept", tmp_path / str(number)).items()
        if job.status == JobStatus.COMPLETED:
            assert arrived, f"{operation} says completed"
        else:
            assert sums(local) == wanted, "nothing is lost"
            assert job.error


def write(path: Path, moment: float) -> None:
    path.write_bytes(os.urandom(3000))
    os.utime(path, (moment, moment))
