"""A source without a file would empty the destination of a sync; a mistyped one looks just so."""

from __future__ import annotations

import pytest

from portal.engine import refusals
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


@pytest.mark.parametrize("operation", ["move", "sync"])
def test_destination_that_names_no_bucket_is_refused(attempts, servers, tmp_path, operation):
    before = photographs(tmp_path / "source")
    other = photographs(tmp_path / "store" / "bucket")
    remote = servers.remote("cloud", servers.start("s3", tmp_path / "store"))
    outcome = attempts.run(operation, tmp_path / "source", "cloud:", remote)
    assert outcome.reason == refusals.NO_BUCKET
    assert kept(tmp_path / "source") == before
    assert kept(tmp_path / "store" / "bucket") == other
