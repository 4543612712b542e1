"""A move or sync whose two ends are one folder finds all files equal, and deletes the only copy."""

from __future__ import annotations

import shutil

import pytest

from portal.engine.safety import refusals, same_place
from tests.support.keepsakes import kept, markers, photographs

DELETING = ("move", "sync")


@pytest.mark.parametrize("operation", [*DELETING, "copy"])
def test_bind_mount_is_the_folder_that_it_shows(attempts, bind, tmp_path, operation):
    source, shown = tmp_path / "source", tmp_path / "shown"
    before = photographs(source)
    bind(source, shown)
    for begin, end in ((source, shown), (shown, source)):
        outcome = attempts.run(operation, begin, end)
        assert not outcome.succeeded
        assert "same place" in outcome.reason
        assert kept(source) == before


@pytest.mark.parametrize("operation", DELETING)
def test_bind_mount_of_a_folder_above_holds_the_source(attempts, bind, tmp_path, operation):
    before = photographs(tmp_path / "all" / "source")
    bind(tmp_path / "all", tmp_path / "shown")
    for begin, end in (
        (tmp_path / "all" / "source", tmp_path / "shown"),
        (tmp_path / "shown", tmp_path / "all" / "source" / "new"),
        (tmp_path / "all" / "source", tmp_path / "shown" / "source" / "new"),
    ):
        outcome = attempts.run(operation, begin, end)
        assert not outcome.succeeded, (begin, end)
        assert kept(tmp_path / "all" / "source") == before


def test_mount_inside_the_source_that_leads_to_the_destination_is_refused(attempts, bind, tmp_path):
    source, other = tmp_path / "source", tmp_path / "other"
    photographs(source)
    before = photographs(other)
    bind(other, source / "link")
    outcome = attempts.run("sync", source, other)
    assert not outcome.succeeded
    assert outcome.reason == same_place._MOUNTED
    assert kept(other) == before


def test_plan_refuses_a_bind_mount_already(attempts, bind, tmp_path):
    before = photographs(tmp_path / "source")
    bind(tmp_path / "source", tmp_path / "shown")
    outcome = attempts.run("move", tmp_path / "source", tmp_path / "shown", dry_run=True)
    assert not outcome.succeeded
    assert outcome.plan is None
    assert kept(tmp_path / "source") == before


def test_one_file_is_not_moved_into_its_own_folder_under_another_name(attempts, bind, tmp_path):
    before = photographs(tmp_path / "source")
    bind(tmp_path / "source", tmp_path / "shown")
    outcome = attempts.run("move", tmp_path / "source" / "1.jpg", tmp_path / "shown")
    assert not outcome.succeeded
    assert kept(tmp_path / "source") == before


@pytest.mark.parametrize("kind", ["sftp", "webdav", "s3", "ftp"])
@pytest.mark.parametrize("operation", DELETING)
@pytest.mark.parametrize("guarded", [False, True])
def test_two_names_of_one_server_lead_to_one_folder(
    attempts, servers, tmp_path, kind, operation, guarded
):
    before = photographs(tmp_path / "store" / "team" / "photos")
    server = servers.start(kind, tmp_path / "store")
    one, two = servers.remote("nas", server), servers.remote("nas-admin", server)
    run = attempts.confirmed if guarded else attempts.run
    outcome = run(operation, "nas:team/photos", "nas-admin:team/photos", one, two)
    assert not outcome.succeeded
    assert "same place" in outcome.reason
    assert kept(tmp_path / "store" / "team" / "photos") == before


@pytest.mark.parametrize("pair", [("sftp", "webdav"), ("webdav", "webdav"), ("s3", "sftp")])
@pytest.mark.parametrize("operation", DELETING)
@pytest.mark.parametrize("guarded", [False, True])
def test_two_servers_lead_to_one_folder(attempts, servers, tmp_path, pair, operation, guarded):
    before = photographs(tmp_path / "store" / "team" / "photos")
    one = servers.remote("one", servers.start(pair[0], tmp_path / "store"))
    two = servers.remote("two", servers.start(pair[1], tmp_path / "store"))
    run = attempts.confirmed if guarded else attempts.run
    outcome = run(operation, "one:team/photos", "two:team/photos", one, two)
    assert not outcome.succeeded
    assert outcome.reason == refusals.ONE_PLACE
    assert kept(tmp_path / "store" / "team" / "photos") == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("operation", DELETING)
def test_servers_that_remember_what_lay_there_are_found_out(attempts, servers, tmp_path, operation):
    """Each of them has listed the folder before, and would not see a file that came past it."""
    before = photographs(tmp_path / "store" / "team" / "photos")
    one = servers.remote("one", servers.start("webdav", tmp_path / "store"))
    two = servers.remote("two", servers.start("webdav", tmp_path / "store"))
    for side in ("one", "two"):
        attempts.run("copy", f"{side}:team/photos", tmp_path / "seen" / side, one, two)
    outcome = attempts.run(operation, "one:team/photos", "two:team/photos", one, two)
    assert not outcome.succeeded
    assert outcome.reason == refusals.ONE_PLACE
    assert kept(tmp_path / "store" / "team" / "photos") == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("operation", DELETING)
@pytest.mark.parametrize(("begin", "end"), [("one:team", "deep:"), ("one:team", "two:photos")])
def test_servers_that_remember_do_not_hide_that_one_end_lies_in_the_other(
    attempts, servers, tmp_path, operation, begin, end
):
    store = tmp_path / "store"
    before = photographs(store / "team" / "photos")
    remotes = [
        servers.remote("one", servers.start("sftp", store)),
        servers.remote("two", servers.start("webdav", store / "team")),
        servers.remote("deep", servers.start("webdav", store / "team" / "photos")),
    ]
    for number, side in enumerate(("one:", "two:", "deep:")):
        attempts.run("copy", side, tmp_path / "seen" / str(number), *remotes)
    outcome = attempts.run(operation, begin, end, *remotes)
    assert outcome.reason == refusals.ONE_PLACE, outcome
    assert kept(store / "team" / "photos") == before
    outcome = attempts.run("sync", end, begin, *remotes)
    assert outcome.reason == refusals.ONE_PLACE, outcome
    assert kept(store / "team" / "photos") == before
    assert markers(store) == []


@pytest.mark.parametrize("kind", ["sftp", "webdav", "s3", "ftp"])
@pytest.mark.parametrize("operation", DELETING)
def test_a_server_of_this_machine_leads_to_a_local_folder(
    attempts, servers, tmp_path, kind, operation
):
    folder = tmp_path / "store" / "team" / "photos"
    before = photographs(folder)
    remote = servers.remote("nas", servers.start(kind, tmp_path / "store"))
    for begin, end in ((folder, "nas:team/photos"), ("nas:team/photos", folder)):
        outcome = attempts.run(operation, begin, end, remote)
        assert not outcome.succeeded, (begin, end)
        assert outcome.reason == refusals.ONE_PLACE
        assert kept(folder) == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("operation", DELETING)
@pytest.mark.parametrize(
    ("begin", "end"),
    [
        # The tail of the other path tells where one lies in the other.
        ("one:team", "two:photos"),
        ("two:photos", "one:team"),
        # Nothing in the paths does: the second server's root is a folder far below.
        ("one:team", "deep:"),
        ("deep:", "one:team"),
        ("one:", "deep:2026"),
    ],
)
def test_one_end_lies_in_the_other_under_another_name(
    attempts, servers, tmp_path, operation, begin, end
):
    store = tmp_path / "store"
    before = photographs(store / "team" / "photos")
    remotes = [
        servers.remote("one", servers.start("sftp", store)),
        servers.remote("two", servers.start("webdav", store / "team")),
        servers.remote("deep", servers.start("sftp", store / "team" / "photos")),
    ]
    outcome = attempts.run(operation, begin, end, *remotes)
    after = kept(store / "team" / "photos")
    if (operation, begin) == ("move", "deep:") and outcome.succeeded:
        # Files of a folder went up to the one that holds it: none is lost.
        after = kept(store / "team")
        assert sorted(after.values()) == sorted(before.values())
        return
    assert not outcome.succeeded
    assert outcome.reason == refusals.ONE_PLACE
    assert after == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("kind", ["sftp", "webdav", "s3", "ftp"])
def test_one_file_of_a_storage_is_not_moved_onto_itself(attempts, servers, tmp_path, kind):
    folder = tmp_path / "store" / "team" / "photos"
    before = photographs(folder)
    one = servers.remote("one", servers.start(kind, tmp_path / "store"))
    two = servers.remote("two", servers.start("sftp", tmp_path / "store"))
    for begin, end in (
        ("one:team/photos/1.jpg", "two:team/photos"),
        ("one:team/photos/1.jpg", folder),
        (folder / "1.jpg", "one:team/photos"),
    ):
        outcome = attempts.run("move", begin, end, one, two)
        assert outcome.reason == refusals.ONE_PLACE, (begin, end, outcome)
        assert kept(folder) == before
    assert markers(tmp_path) == []


def test_copy_whose_bytes_would_be_written_over_themselves_is_refused(attempts, servers, tmp_path):
    """Where nothing can be compared every byte travels: a file would be cut off while it is
    read."""
    before = photographs(tmp_path / "store" / "photos")
    one = servers.remote("one", servers.start("webdav", tmp_path / "store"))
    two = servers.remote("two", servers.start("webdav", tmp_path / "store"))
    outcome = attempts.run("copy", "one:photos", "two:photos", one, two)
    assert outcome.reason == refusals.ONE_PLACE
    assert kept(tmp_path / "store" / "photos") == before


def test_a_true_move_between_two_names_of_one_server_is_done(attempts, servers, tmp_path):
    before = photographs(tmp_path / "store" / "from")
    server = servers.start("webdav", tmp_path / "store")
    one, two = servers.remote("nas", server), servers.remote("nas-admin", server)
    outcome = attempts.run("move", "nas:from", "nas-admin:to", one, two)
    assert outcome.succeeded, outcome
    assert kept(tmp_path / "store" / "to") == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("operation", DELETING)
def test_a_true_transfer_between_two_servers_of_one_machine_is_done(
    attempts, servers, tmp_path, operation
):
    before = photographs(tmp_path / "here")
    (tmp_path / "there").mkdir()
    one = servers.remote("one", servers.start("sftp", tmp_path / "here"))
    two = servers.remote("two", servers.start("webdav", tmp_path / "there"))
    outcome = attempts.run(operation, "one:", "two:", one, two)
    assert outcome.succeeded, outcome
    assert kept(tmp_path / "there") == before
    assert markers(tmp_path) == []


def test_move_that_finds_everything_there_by_two_servers_of_one_machine_deletes_nothing(
    attempts, servers, tmp_path
):
    """Servers that keep to themselves what they were given to write show no difference."""
    before = photographs(tmp_path / "here" / "photos")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    one = servers.remote("one", servers.start("sftp", tmp_path / "here"))
    two = servers.remote("two", servers.start("sftp", tmp_path / "there"))
    outcome = attempts.run("move", "one:photos", "two:photos", one, two)
    assert outcome.reason == refusals.ALL_THERE
    assert kept(tmp_path / "here" / "photos") == before
    assert markers(tmp_path) == []


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_server_that_writes_later_is_found_out(attempts, servers, tmp_path, kind):
    before = photographs(tmp_path / "store" / "team" / "photos")
    server = servers.start(kind, tmp_path / "store", "--vfs-cache-mode", "full")
    remote = servers.remote("nas", server)
    attempts.run("copy", "nas:team/photos", tmp_path / "seen", remote)
    outcome = attempts.run(
        "move", tmp_path / "store" / "team" / "photos", "nas:team/photos", remote
    )
    assert not outcome.succeeded
    assert kept(tmp_path / "store" / "team" / "photos") == before


def test_move_that_finds_everything_there_deletes_where_the_disk_shows_two_places(
    attempts, servers, tmp_path
):
    before = photographs(tmp_path / "here" / "photos")
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "there"))
    attempts.run("copy", tmp_path / "here" / "photos", "nas:photos", remote)
    outcome = attempts.run("move", tmp_path / "here" / "photos", "nas:photos", remote)
    assert outcome.succeeded, outcome
    assert kept(tmp_path / "there" / "photos") == before
    assert kept(tmp_path / "here") == {}
    assert markers(tmp_path) == []


def test_move_within_folders_of_this_machine_needs_no_more_than_one_rclone(attempts, tmp_path):
    before = photographs(tmp_path / "source")
    outcome = attempts.run("move", tmp_path / "source", tmp_path / "to")
    assert outcome.succeeded
    assert len(attempts.begun) == 1
    assert kept(tmp_path / "to") == before
    assert markers(tmp_path) == []
