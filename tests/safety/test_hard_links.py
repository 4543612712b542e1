"""Files of the source that are hard links of those at a server of this machine. WebDAV writes into
the very file that is being read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.attempts import Attempts, Servers
from tests.support.keepsakes import kept

NAMES = ["one.jpg", "deeper/two.jpg"]


def shelf(source: Path, store: Path, *, linked: bool) -> Path:
    """The destination's folder, which holds each file of the source already."""
    shown = store / "shelf"
    for name in NAMES:
        for folder in (source, shown):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(os.urandom(3_000_000))
        (os.link if linked else shutil.copy)(source / name, shown / name)
    return shown


@pytest.mark.parametrize("operation", ["copy", "sync", "move", "confirmed move"])
@pytest.mark.parametrize("where", ["shelf", "one file"])
def test_webdav_server_does_not_write_into_what_it_is_given(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str, where: str
) -> None:
    source, store = tmp_path / "from", tmp_path / "store"
    shelf(source, store, linked=True)
    before = kept(source)
    remote = servers.remote("nas", servers.start("webdav", store), vendor="other")
    begin = source if where == "shelf" else source / "one.jpg"
    if operation.startswith("confirmed"):
        outcome = attempts.confirmed("move", begin, "nas:shelf", remote)
    else:
        outcome = attempts.run(operation, begin, "nas:shelf", remote, limit="8M")
    assert kept(source) == before
    assert not outcome.succeeded
    assert "hard links" in str(outcome.reason)


@pytest.mark.parametrize("kind", ["webdav", "sftp"])
def test_files_that_are_no_links_of_what_is_there_are_moved(
    attempts: Attempts, servers: Servers, tmp_path: Path, kind: str
) -> None:
    """Nor do hard links matter where nothing has their name, or where files are not written in
    place."""
    source, store = tmp_path / "from", tmp_path / "store"
    shelf(source, store, linked=kind == "sftp")
    if kind == "webdav":
        os.link(source / "one.jpg", source / "new.jpg")
        (store / "shelf" / "one.jpg").unlink()
    before = kept(source)
    remote = servers.remote("nas", servers.start(kind, store))
    outcome = attempts.run("move", source, "nas:shelf", remote)
    assert outcome.succeeded, (outcome.reason, outcome.error_lines)
    assert kept(store / "shelf") == before
