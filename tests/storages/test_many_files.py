"""Two thousand small files go to every storage and come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.remotes.files import sums
from tests.storages.met import Storage, completed

#: One of each protocol.
ONE_OF_EACH = pytest.mark.parametrize(
    "kind", ["smb", "azure", "google", "s3", "ftp", "webdav", "sftp"]
)


@ONE_OF_EACH
def test_two_thousand_small_files_go_there_and_come_back(storage: Storage, root: Path) -> None:
    storage.add()
    for number in range(2000):
        path = root / "many" / f"{number % 20:02}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    far = f"nas:{storage.top}many"
    out = storage.transfer("copy", root / "many", far)
    assert completed(out)
    assert (out.files_transferred, out.files_total) == (2000, 2000)
    assert completed(storage.transfer("copy", far, root / "back"))
    assert sums(root / "back") == sums(root / "many")
