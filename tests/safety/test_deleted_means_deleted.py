"""A server that does not let somebody delete: what was not deleted is not said to be."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from portal.engine.safety import refusals
from tests.support.keepsakes import kept, markers, photographs


@pytest.mark.parametrize("single", [False, True])
def test_move_from_a_server_that_deletes_nothing_is_not_completed(
    attempts: Any, servers: Any, tmp_path: Any, single: bool
) -> None:
    before = photographs(tmp_path / "store" / "photos")
    remote = servers.remote("nas", servers.start("ftp", tmp_path / "store", "--read-only"))
    source = "nas:photos/1.jpg" if single else "nas:photos"
    outcome = attempts.run("move", source, tmp_path / "to", remote)
    assert not outcome.succeeded
    assert outcome.reason.startswith(refusals.NOT_DELETED.partition("“")[0]), outcome
    assert outcome.progress.percent < 100
    assert kept(tmp_path / "store" / "photos") == before
    arrived = kept(tmp_path / "to")
    assert arrived == ({"1.jpg": before["1.jpg"]} if single else before)


def test_move_from_a_server_that_deletes_is_completed(
    attempts: Any, servers: Any, tmp_path: Any
) -> None:
    before = photographs(tmp_path / "store" / "photos")
    os.link(tmp_path / "store" / "photos" / "1.jpg", tmp_path / "store" / "photos" / "%$ ü.jpg")
    before["%$ ü.jpg"] = before["1.jpg"]
    remote = servers.remote("nas", servers.start("ftp", tmp_path / "store"))
    outcome = attempts.run("move", "nas:photos", tmp_path / "to", remote)
    assert outcome.succeeded, outcome
    assert kept(tmp_path / "to") == before
    assert kept(tmp_path / "store") == {}
    assert markers(tmp_path) == []


@pytest.mark.parametrize("kept_by", ["the system", "nobody"])
def test_sync_tells_only_what_the_server_has_deleted(
    attempts: Any, servers: Any, bind: Any, tmp_path: Any, kept_by: str
) -> None:
    before = photographs(tmp_path / "source")
    old = tmp_path / "old"
    old.mkdir()
    (old / "book.txt").write_bytes(b"old")
    shelf = tmp_path / "store" / "shelf"
    bind(old, shelf / "old")
    if kept_by == "the system":
        subprocess.run(["mount", "-o", "remount,bind,ro", str(shelf / "old")], check=True)
    remote = servers.remote("nas", servers.start("ftp", tmp_path / "store"))
    outcome = attempts.run("sync", tmp_path / "source", "nas:shelf", remote)
    if kept_by == "nobody":
        assert outcome.succeeded, outcome
        assert outcome.progress.files_deleted == 1
        assert kept(shelf) == before
    else:
        assert outcome.reason.startswith(refusals.NOT_DELETED.partition("“")[0]), outcome
        assert outcome.progress.files_deleted == 0
        assert kept(shelf) == {**before, "old/book.txt": b"old"}
    assert markers(tmp_path) == []
