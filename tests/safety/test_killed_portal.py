"""A portal that is killed while its rclone waits for a storage that does not answer: on SIGTERM
that rclone would tidy up over there, and wait for ever."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.people import Person
from tests.support.portal_rows import column
from tests.support.portal_server import CopiedPortal, PortalServer
from tests.support.storages import Storage, typed
from tests.support.transfers import MIB, fill, rclones
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

#: Seconds that rclone gets to tidy up, and a few more.
GRACE, MORE = 4, 3


@pytest.fixture
def portal(tmp_path: Path, migrated: Path) -> Iterator[PortalServer]:
    server = CopiedPortal(tmp_path, PORTAL_REMOTES_ALLOW_LOCAL="true")
    shutil.copy(migrated, server.data / "portal.sqlite")
    server.start()
    yield server
    server.clean_up()
    wait_for(lambda: rclones(server.data) == [])


@pytest.mark.parametrize("kind", ["sftp", "webdav", "ftp", "s3"])
def test_no_rclone_outlives_its_grace_whatever_it_waits_for(
    portal: PortalServer, tmp_path: Path, kind: str
) -> None:
    source = fill(portal.root / "from", 8 * MIB, 3)
    (tmp_path / "storage/bucket").mkdir(parents=True)
    with Storage(kind, tmp_path / "storage") as storage:
        alice = Person(portal, "alice")
        form = {"name": "nas", "backend": kind, **typed(storage.options())}
        assert alice.post("/remotes", **form).status_code == 303
        job_id = alice.start(source, "nas:bucket/to", bandwidth_limit="2M")
        wait_for(lambda: column(portal, job_id, "bytes_transferred") > MIB)
        storage.freeze()
        time.sleep(2)  # what is on its way arrives nowhere
        assert rclones(portal.data)
        portal.kill()
        wait_for(lambda: rclones(portal.data) == [], GRACE + MORE)
