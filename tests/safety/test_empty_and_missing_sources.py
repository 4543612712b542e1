"""A source without a file would empty the destination of a sync; a mistyped one looks just so."""

from __future__ import annotations

import os

import pytest

from portal.engine.safety import refusals
from portal.transfers.options import Options
from tests.support.keepsakes import kept, photographs

ALLOWED = Options(allow_empty_source=True, retries=0)


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("inside", ["", "empty/deeper"])
def test_sync_from_an_empty_folder_deletes_nothing(attempts, tmp_path, guarded, inside):
    (tmp_path / "source" / inside).mkdir(parents=True)
    before = photographs(tmp_path / "to")
    run = attempts.confirmed if guarded else attempts.run
    outcome = run("sync", tmp_path / "source", tmp_path / "to")
    assert outcome.reason == refusals.EMPTY_SOURCE
    assert kept(tmp_path / "to") == before


def test_sync_whose_filters_leave_nothing_of_the_source_deletes_nothing(attempts, tmp_path):
    photographs(tmp_path / "source")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "letter.txt").write_bytes(b"the only letter")
    options = Options(include=("*.txt",), retries=0)
    outcome = attempts.run("sync", tmp_path / "source", tmp_path / "to", options=options)
    assert outcome.reason == refusals.EMPTY_SOURCE
    assert kept(tmp_path / "to") == {"letter.txt": b"the only letter"}


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("left_out", [Options(min_age=3600), Options(max_size=1000)])
@pytest.mark.parametrize("place", ["local", "nas:diary"])
def test_sync_does_not_delete_the_copy_of_a_file_that_is_too_young_or_too_large(
    attempts, servers, tmp_path, guarded, left_out, place
):
    """Only the copy, which is older and smaller, passes the filter."""
    source, to = tmp_path / "store" / "diary", tmp_path / "to"
    for folder, content in ((source, b"today" * 1000), (to, b"yesterday")):
        folder.mkdir(parents=True)
        (folder / "diary.doc").write_bytes(content)
        (folder / "old.txt").write_bytes(b"old")
        os.utime(folder / "old.txt", (1_000_000_000, 1_000_000_000))
    os.utime(to / "diary.doc", (1_700_000_000, 1_700_000_000))
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "store"))
    begin = source if place == "local" else place
    outcome = attempts.run("sync", begin, to, remote, options=left_out, dry_run=guarded)
    assert outcome.reason == refusals.FILTERED_SYNC
    assert (to / "diary.doc").read_bytes() == b"yesterday"
    assert attempts.run("copy", begin, to, remote, options=left_out).succeeded


def test_plan_of_a_sync_from_an_empty_folder_refuses_already(attempts, tmp_path):
    (tmp_path / "source").mkdir()
    photographs(tmp_path / "to")
    outcome = attempts.run("sync", tmp_path / "source", tmp_path / "to", dry_run=True)
    assert outcome.reason == refusals.EMPTY_SOURCE


def test_sync_from_a_missing_folder_deletes_nothing(attempts, servers, tmp_path):
    before = photographs(tmp_path / "to")
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "store"))
    for source in (tmp_path / "nowhere", "nas:nowhere"):
        for options in (Options(retries=0), ALLOWED):
            outcome = attempts.run("sync", source, tmp_path / "to", remote, options=options)
            assert not outcome.succeeded
            assert "does not exist" in outcome.reason
            assert kept(tmp_path / "to") == before


def test_sync_from_an_empty_source_is_done_where_it_is_allowed(attempts, servers, tmp_path):
    (tmp_path / "source").mkdir()
    photographs(tmp_path / "to")
    outcome = attempts.run("sync", tmp_path / "source", tmp_path / "to", options=ALLOWED)
    assert outcome.succeeded
    assert kept(tmp_path / "to") == {}
    photographs(tmp_path / "to")
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "store"))
    (tmp_path / "store" / "nothing").mkdir()
    assert not attempts.run("sync", "nas:nothing", tmp_path / "to", remote).succeeded
    assert attempts.run("sync", "nas:nothing", tmp_path / "to", remote, options=ALLOWED).succeeded


@pytest.mark.parametrize("operation", ["copy", "move", "sync", "check"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_mistyped_path_in_a_bucket_is_reported(attempts, servers, tmp_path, operation, dry_run):
    """A storage of objects knows no folders, and lists what is not there as empty."""
    photographs(tmp_path / "store" / "bucket" / "photos")
    before = photographs(tmp_path / "to") if operation == "sync" else {}
    remote = servers.remote("cloud", servers.start("s3", tmp_path / "store"))
    outcome = attempts.run(
        operation, "cloud:bucket/photso", tmp_path / "to", remote, dry_run=dry_run
    )
    assert not outcome.succeeded
    assert outcome.reason in (
        refusals.EMPTY_SOURCE,
        refusals.NOTHING_FOUND.format("cloud:bucket/photso"),
    )
    assert kept(tmp_path / "to") == before


def test_copy_of_an_empty_bucket_and_of_what_filters_leave_out_is_done(attempts, servers, tmp_path):
    photographs(tmp_path / "store" / "bucket" / "photos")
    (tmp_path / "store" / "empty").mkdir()
    remote = servers.remote("cloud", servers.start("s3", tmp_path / "store"))
    assert attempts.run("copy", "cloud:empty", tmp_path / "to", remote).succeeded
    texts = Options(include=("*.txt",), retries=0)
    done = attempts.run("copy", "cloud:bucket/photos", tmp_path / "to", remote, options=texts)
    assert done.succeeded
    assert kept(tmp_path / "to") == {}


@pytest.mark.parametrize("operation", ["move", "sync", "copy"])
def test_destination_that_names_no_bucket_is_refused(attempts, servers, tmp_path, operation):
    before = photographs(tmp_path / "source")
    other = photographs(tmp_path / "store" / "bucket")
    remote = servers.remote("cloud", servers.start("s3", tmp_path / "store"))
    outcome = attempts.run(operation, tmp_path / "source", "cloud:", remote)
    assert outcome.reason == refusals.NO_BUCKET
    assert kept(tmp_path / "source") == before
    assert kept(tmp_path / "store" / "bucket") == other
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["bucket"]


def test_all_buckets_of_one_storage_are_copied_to_another(attempts, servers, tmp_path):
    before = photographs(tmp_path / "one" / "bucket")
    one = servers.remote("one", servers.start("s3", tmp_path / "one"))
    (tmp_path / "two").mkdir()
    two = servers.remote("two", servers.start("s3", tmp_path / "two"))
    assert attempts.run("copy", "one:", "two:", one, two).succeeded
    assert kept(tmp_path / "two" / "bucket") == before
