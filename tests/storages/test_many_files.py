"""Many small files go to every storage and come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storages.met import Storage, completed
from tests.support.files import sums

#: One of each protocol. Google and S3 list a thousand at a time. The server of SMB takes twelve
#: milliseconds of CPU for a file.
FILES = {
    "smb": 250,
    **dict.fromkeys(("azure", "ftp", "webdav of rclone", "sftp"), 1000),
    **dict.fromkeys(("google", "s3"), 2000),
}


@pytest.mark.parametrize("kind", FILES)
def test_many_small_files_go_there_and_come_back(storage: Storage, root: Path, kind: str) -> None:
    # rclone else spares servers of WebDAV by asking them a hundred times a second at most.
    hurry = {"pacer_min_sleep": "1ms"} if storage.server.kind.backend == "webdav" else {}
    storage.add(**hurry)
    for number in range(FILES[kind]):
        path = root / "many" / f"{number % 20:02}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    far = f"nas:{storage.top}many"
    out = storage.transfer("copy", root / "many", far)
    assert completed(out)
    assert (out.files_transferred, out.files_total) == (FILES[kind], FILES[kind])
    assert completed(storage.transfer("copy", far, root / "back"))
    assert sums(root / "back") == sums(root / "many")
