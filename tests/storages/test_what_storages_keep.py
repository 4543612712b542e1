"""The table in docs/remotes.md is what the servers show: each row is measured and looked for."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path

import pytest

from tests.storages.met import Storage, completed
from tests.storages.servers import KINDS
from tests.support.project import ROOT

DOCUMENT = ROOT / "docs" / "remotes.md"
#: 1 January 2001, and a part of a second.
LONG_AGO = 978_307_200_123_456_789
SECOND = 1_000_000_000
_UNITS = {1: "1 ns", 100: "0.1 µs", 1_000: "1 µs", 1_000_000: "1 ms", SECOND: "1 s"}
_WORDS = {"smb": "SMB", "ftp": "FTP", "sftp": "SFTP", "s3": "S3", "webdav": "WebDAV"}
#: Of a storage that knows no times rclone says a hundred years.
_NONE = 3_153_600_000 * SECOND


def title(name: str) -> str:
    words = re.sub(r"\w+", lambda found: _WORDS.get(found[0], found[0]), name)
    return words[0].upper() + words[1:]


@pytest.mark.parametrize("kind", KINDS)
def test_row_of_the_table_is_what_the_server_shows(
    storage: Storage, root: Path, tmp_path: Path, kind: str
) -> None:
    storage.add()
    (root / "sent" / "empty folder").mkdir(parents=True)
    old = root / "sent" / "old"
    old.write_bytes(b"from long ago")
    old.chmod(0o750)
    os.utime(old, ns=(LONG_AGO, LONG_AGO))
    far = f"nas:{storage.top}kept"
    assert completed(storage.transfer("copy", root / "sent", far))
    assert completed(storage.transfer("copy", far, root / "back"))
    back = (root / "back" / "old").stat()
    assert (root / "back" / "old").read_bytes() == b"from long ago"

    features = json.loads(storage.rclone("backend", "features", f"far:{storage.top}").stdout)
    precision = int(features["Precision"])
    if precision >= _NONE:
        times = "no"
    else:
        times = f"to {_UNITS[precision]}"
        assert abs(back.st_mtime_ns - LONG_AGO) < max(precision, 100)
    row = (
        title(kind),
        ", ".join(sorted(features["Hashes"])) or "no",
        times,
        "yes" if (root / "back" / "empty folder").is_dir() else "no",
        "yes" if back.st_mode & 0o777 == 0o750 else "no",
        _beside(storage, tmp_path / "case", "Letter", "letter"),
        _beside(storage, tmp_path / "forms", *_forms("é")),
        KINDS[kind].server,
    )
    assert f"| {' | '.join(row)} |" in DOCUMENT.read_text().splitlines()


def _forms(letter: str) -> tuple[str, str]:
    return unicodedata.normalize("NFC", letter), unicodedata.normalize("NFD", letter)


def _beside(storage: Storage, folder: Path, *names: str) -> str:
    """Whether two names that look alike may stand side by side there."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
        path = f"far:{storage.top}{folder.name}/{name}"
        sent = storage.rclone("copyto", str(folder / name), path)
        assert sent.returncode == 0, sent.stderr
    listed = storage.rclone("lsf", f"far:{storage.top}{folder.name}").stdout.split()
    return "yes" if sorted(listed) == sorted(names) else "no"


def test_every_row_of_the_table_has_a_server() -> None:
    section = DOCUMENT.read_text().partition("## What a storage keeps")[2]
    table = section.partition("| storage |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(map(title, KINDS))
