"""The same ways to lose files, from the form and the API to the row of the job, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portal.engine.safety import refusals
from tests.support.client import Browser
from tests.support.keepsakes import kept, photographs
from tests.support.transfers import stored


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """The storages of these tests are servers of this machine."""
    return {"remotes_allow_local": True}


@pytest.fixture
def run(browser: Callable[..., Browser], execute: Any) -> Callable[..., Any]:
    """Posts the form as a program does, lets a worker do it, and gives the row."""

    def post(**fields: str) -> Any:
        answer = browser("bob").post("/jobs", {"name": "Photographs", **fields})
        assert answer.status_code == 303, answer.text
        job_id = int(answer.location.rpartition("/")[2])
        execute(job_id)
        return stored(job_id)

    return post


@pytest.mark.parametrize("operation", ["copy", "move", "sync"])
def test_form_refuses_two_names_of_one_folder(browser, root, bind, operation, mode):
    before = photographs(root / "source")
    bind(root / "source", root / "shown")
    answer = browser("bob").post(
        "/jobs",
        {
            "name": "Photographs",
            "operation": operation,
            "source": str(root / "source"),
            "destination": str(root / "shown"),
        },
    )
    assert answer.status_code == 422
    assert "same folder as the source under another name" in answer.text
    assert kept(root / "source") == before


def test_mount_that_comes_after_the_form_is_seen_by_the_worker(new_job, execute, root, bind, mode):
    before = photographs(root / "source")
    job_id = new_job(operation="move", source=root / "source", destination=root / "shown")
    bind(root / "source", root / "shown")
    execute(job_id)
    job = stored(job_id)
    assert job.status == "failed"
    assert "same place" in job.error
    assert kept(root / "source") == before


@pytest.mark.parametrize("operation", ["move", "sync"])
def test_two_remotes_of_one_server(browser, run, new_remote, servers, tmp_path, operation, mode):
    before = photographs(tmp_path / "store" / "team" / "photos")
    server = servers.start("webdav", tmp_path / "store")
    for name in ("dav", "dav-admin"):
        new_remote(name, "webdav", server.options())
    fields = {
        "name": "Photographs",
        "operation": operation,
        "source": "dav:team/photos",
        "destination": "dav-admin:team/photos",
    }
    answer = browser("bob").post("/jobs", fields)
    assert answer.status_code == 422
    assert "same folder as the source" in answer.text
    # One more server for the same folder, which no form can know.
    other = servers.start("sftp", tmp_path / "store")
    new_remote("nas", "sftp", other.options())
    job = run(**fields | {"destination": "nas:team/photos"})
    assert job.status == "failed"
    assert job.error == refusals.ONE_PLACE
    assert kept(tmp_path / "store" / "team" / "photos") == before


def test_what_files_were_compared_by_is_shown(
    browser,
    run,
    new_remote,
    servers,
    root,
    tmp_path,
    mode,
):
    photographs(root / "source")
    server = servers.start("webdav", tmp_path / "store")
    new_remote("dav", "webdav", server.options())
    job = run(operation="copy", source=str(root / "source"), destination="dav:photos")
    assert (job.status, job.compared_by) == ("completed", "bytes")
    bob = browser("bob")
    assert "every byte" in bob.get(f"/jobs/{job.id}").text
    assert bob.get(f"/api/v1/jobs/{job.id}").json["compared_by"] == "bytes"


def test_time_to_the_second_is_reported_on_the_page_and_to_programs(
    browser,
    run,
    new_remote,
    servers,
    root,
    tmp_path,
    mode,
):
    photographs(root / "source")
    server = servers.start("sftp", tmp_path / "store")
    new_remote("nas", "sftp", server.options())
    job = run(operation="copy", source=str(root / "source"), destination="nas:photos")
    assert job.status == "completed"
    bob = browser("bob")
    assert "size and time to the second" in bob.get(f"/jobs/{job.id}").text
    told = bob.get(f"/api/v1/jobs/{job.id}").json
    assert (told["compared_by"], told["time_precision_seconds"]) == ("size_and_time", 1)
    assert told["compared_by_size"] is None
    assert '"size_and_time"' in bob.post("/history/export").text


def test_files_compared_by_size_alone_are_named_on_the_page_and_to_programs(
    browser,
    run,
    new_remote,
    servers,
    root,
    tmp_path,
    mode,
):
    before = photographs(root / "source")
    for name in before:
        there = tmp_path / "store" / "photos" / name
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(bytes(len(before[name])))
    server = servers.start("s3", tmp_path / "store", "--etag-hash", "")
    new_remote("cloud", "s3", server.options())
    fields = {"source": str(root / "source"), "destination": "cloud:photos", "checksum": "y"}
    job = run(operation="copy", **fields)
    assert job.status == "completed"
    bob = browser("bob")
    assert "checksum; 6 files that have none at the storage" in bob.get(f"/jobs/{job.id}").text
    told = bob.get(f"/api/v1/jobs/{job.id}").json
    assert (told["compared_by"], told["time_precision_seconds"]) == ("hash", None)
    assert told["compared_by_size"]["count"] == 6
    assert sorted(told["compared_by_size"]["names"]) == sorted(before)


def test_empty_source_needs_a_word_of_its_own(browser, run, root, mode):
    (root / "source").mkdir()
    before = photographs(root / "to")
    fields = {"operation": "sync", "source": str(root / "source"), "destination": str(root / "to")}
    job = run(**fields)
    assert job.status == "failed"
    assert job.error == refusals.EMPTY_SOURCE
    assert kept(root / "to") == before
    job = run(**fields, allow_empty_source="y")
    assert job.status == "completed"
    assert kept(root / "to") == {}
    shown = browser("bob").get(f"/api/v1/jobs/{job.id}").json
    assert shown["options"]["allow_empty_source"] is True


def test_marker_that_a_killed_portal_left_is_neither_copied_nor_shown(
    browser, run, root, settings, mode
):
    photographs(root / "source")
    left = root / "source" / ".transfer-portal-probe-0123456789abcdef"
    left.write_bytes(b"x")
    job = run(operation="sync", source=str(root / "source"), destination=str(root / "to"))
    assert job.status == "completed"
    assert not list((root / "to").glob(".transfer-portal-*"))
    assert "transfer-portal-probe" not in browser("bob").get(f"/browse?at={root}/source").text
