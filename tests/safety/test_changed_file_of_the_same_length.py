"""A changed file whose length is the same: its new content must arrive before anything else is said
or done, whatever the storage knows of its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portal.engine.order import comparison
from portal.transfers.options import Options
from tests.support.keepsakes import kept

NEW, OLD = b"the new content\n", b"the old content\n"
NOON = 1_790_000_000 * 1_000_000_000


def version(path: Path, content: bytes, at: int = NOON) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(at, at))


@pytest.mark.parametrize("kind", ["webdav", "ftp", "sftp", "s3"])
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("operation", ["copy", "move", "sync"])
@pytest.mark.parametrize("single", [False, True])
def test_new_content_arrives(attempts, servers, tmp_path, kind, checksum, operation, single):
    source, store = tmp_path / "source", tmp_path / "store"
    version(source / "book.txt", NEW, NOON + 3_600_000_000_000)
    version(store / "shelf" / "book.txt", OLD)
    remote = servers.remote("nas", servers.start(kind, store))
    outcome = attempts.run(
        operation,
        source / "book.txt" if single else source,
        "nas:shelf",
        remote,
        options=Options(checksum=checksum, retries=0),
    )
    assert outcome.succeeded, outcome
    assert kept(store / "shelf") == {"book.txt": NEW}
    assert kept(source) == ({} if operation == "move" else {"book.txt": NEW})


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("guarded", [False, True])
def test_versions_of_one_moment_are_told_apart_by_a_move_between_folders(
    attempts, tmp_path, checksum, single, guarded
):
    """Some programs, those that keep a container of secrets among them, set the time back."""
    source, target = tmp_path / "source", tmp_path / "target"
    version(source / "vault.bin", NEW)
    version(target / "vault.bin", OLD)
    begin = source / "vault.bin" if single else source
    if guarded:
        outcome = attempts.confirmed("move", begin, target)
    else:
        outcome = attempts.run("move", begin, target, options=Options(checksum=checksum, retries=0))
    assert outcome.succeeded, outcome
    assert outcome.found.compared_by == "hash"
    assert kept(target) == {"vault.bin": NEW}
    assert kept(source) == {}


@pytest.mark.parametrize("kind", ["sftp", "ftp", "webdav"])
def test_versions_of_one_moment_are_told_apart_by_a_move_to_a_server(
    attempts, servers, tmp_path, kind
):
    source, store = tmp_path / "source", tmp_path / "store"
    version(source / "vault.bin", NEW)
    version(store / "shelf" / "vault.bin", OLD)
    remote = servers.remote("nas", servers.start(kind, store))
    outcome = attempts.run("move", source, "nas:shelf", remote)
    assert outcome.succeeded, outcome
    assert kept(store / "shelf") == {"vault.bin": NEW}
    assert kept(source) == {}


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("ways", ["up", "up, confirmed", "up, one file", "down", "down, one file"])
def test_versions_of_one_moment_are_told_apart_by_a_move_of_objects(
    attempts, servers, tmp_path, hashes, ways
):
    """With their MD5, and without one, as those are that another program has sent in parts."""
    local, store = tmp_path / "local", tmp_path / "store"
    begin, end = (local, store / "shelf") if "up" in ways else (store / "shelf", local)
    version(begin / "vault.bin", NEW)
    version(end / "vault.bin", OLD)
    extra = () if hashes else ("--etag-hash", "")
    remote = servers.remote("cloud", servers.start("s3", store, *extra))
    name = "/vault.bin" if "one file" in ways else ""
    ends = (f"{local}{name}", "cloud:shelf") if "up" in ways else (f"cloud:shelf{name}", local)
    if "confirmed" in ways:
        outcome = attempts.confirmed("move", *ends, remote)
    else:
        outcome = attempts.run("move", *ends, remote)
    assert outcome.succeeded, outcome
    assert outcome.found.compared_by == ("hash" if hashes else "bytes")
    assert outcome.found.left_out_names is None
    assert kept(end) == {"vault.bin": NEW}
    assert kept(begin) == {}


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("kinds", [("local", "smb"), ("smb", "local"), ("s3", "smb"), ("s3", "s3")])
def test_move_trusts_no_time(kinds, checksum):
    """Of storages that keep times exactly, with hashes and without."""
    known = {
        "local": comparison.LOCAL,
        "smb": comparison.Storage("smb", frozenset(), 100),
        "s3": comparison.Storage("s3", frozenset({"md5"}), 1),
    }
    begin, end = (known[kind] for kind in kinds)
    chosen = comparison.choose("move", Options(checksum=checksum), begin, end)
    assert chosen.needs_hashes or chosen.every_byte
    assert chosen.by == ("hash" if kinds == ("s3", "s3") else "bytes")


def test_move_of_objects_sends_nothing_that_is_there_by_its_hash(attempts, servers, tmp_path):
    for name, old in (("book.txt", NEW), ("page.txt", OLD)):
        version(tmp_path / "source" / name, NEW)
        version(tmp_path / "store" / "shelf" / name, old, NOON - 10**12)
    remote = servers.remote("cloud", servers.start("s3", tmp_path / "store"))
    outcome = attempts.run("move", tmp_path / "source", "cloud:shelf", remote)
    assert outcome.succeeded, outcome
    assert outcome.progress.bytes_transferred == len(NEW)
    assert (outcome.progress.files_transferred, outcome.progress.files_unchanged) == (1, 1)
    assert kept(tmp_path / "store" / "shelf") == {"book.txt": NEW, "page.txt": NEW}
    assert kept(tmp_path / "source") == {}


@pytest.mark.parametrize("kind", ["sftp", "ftp", "webdav"])
@pytest.mark.parametrize("checksum", [False, True])
def test_versions_of_one_second_are_told_apart_by_a_move(
    attempts, servers, tmp_path, kind, checksum
):
    source, store = tmp_path / "source", tmp_path / "store"
    version(source / "book.txt", NEW, NOON + 600_000_000)
    version(store / "shelf" / "book.txt", OLD, NOON + 100_000_000)
    remote = servers.remote("nas", servers.start(kind, store))
    options = Options(checksum=checksum, retries=0)
    outcome = attempts.run("move", source, "nas:shelf", remote, options=options)
    assert outcome.succeeded
    assert kept(store / "shelf") == {"book.txt": NEW}
    assert kept(source) == {}


@pytest.mark.parametrize("kind", ["sftp", "ftp", "webdav"])
@pytest.mark.parametrize("source", ["nas:shelf", "nas:shelf/book.txt"])
def test_versions_of_one_second_are_told_apart_on_the_way_back(
    attempts, servers, tmp_path, kind, source
):
    store, target = tmp_path / "store", tmp_path / "target"
    version(store / "shelf" / "book.txt", NEW, NOON + 600_000_000)
    version(target / "book.txt", OLD, NOON + 100_000_000)
    remote = servers.remote("nas", servers.start(kind, store))
    outcome = attempts.run("move", source, target, remote)
    assert outcome.succeeded, outcome
    assert kept(target) == {"book.txt": NEW}
    assert kept(store / "shelf") == {}


def test_server_without_hashes_is_asked_for_the_bytes(attempts, servers, tmp_path):
    source, store = tmp_path / "source", tmp_path / "store"
    version(source / "book.txt", NEW, NOON + 600_000_000)
    version(store / "book.txt", OLD, NOON + 100_000_000)
    server = servers.start("sftp", store)
    remote = servers.remote("nas", server, shell_type="none", disable_hashcheck="true")
    options = Options(checksum=True, retries=0)
    outcome = attempts.run("move", source, "nas:", remote, options=options)
    assert outcome.succeeded
    assert outcome.found.compared_by == "bytes"
    assert (store / "book.txt").read_bytes() == NEW


@pytest.mark.parametrize(
    ("kind", "operation", "checksum", "by"),
    [
        ("webdav", "copy", False, "bytes"),
        ("webdav", "copy", True, "bytes"),
        ("webdav", "move", False, "bytes"),
        ("webdav", "check", False, "bytes"),
        ("ftp", "sync", False, "bytes"),
        ("sftp", "copy", False, "size_and_second"),
        ("sftp", "sync", False, "size_and_second"),
        ("sftp", "copy", True, "hash"),
        ("sftp", "move", False, "hash"),
        ("sftp", "check", False, "hash"),
        ("s3", "copy", False, "size_and_time"),
        ("s3", "copy", True, "hash"),
        ("s3", "move", False, "hash"),
        ("s3", "move", True, "hash"),
        ("s3", "check", False, "hash"),
    ],
)
def test_what_files_are_compared_by_is_recorded(
    attempts, servers, tmp_path, kind, operation, checksum, by
):
    for name in ("book.txt", "more.txt")[: 1 if operation == "check" else 2]:
        version(tmp_path / "source" / name, NEW)
    version(tmp_path / "store" / "shelf" / "book.txt", NEW)
    remote = servers.remote("nas", servers.start(kind, tmp_path / "store"))
    options = Options(checksum=checksum, retries=0)
    outcome = attempts.run(operation, tmp_path / "source", "nas:shelf", remote, options=options)
    assert outcome.succeeded, outcome
    assert outcome.found.compared_by == by


@pytest.mark.parametrize("operation", ["copy", "sync"])
@pytest.mark.parametrize("upwards", [True, False])
def test_objects_without_a_hash_are_named_where_sizes_alone_were_compared(
    attempts, servers, tmp_path, operation, upwards
):
    """As those are that another program has sent in parts."""
    local, store = tmp_path / "local", tmp_path / "store"
    for name, old in (("book.txt", OLD), ("page.txt", NEW)):
        version(local / name, NEW if upwards else old)
        version(store / "shelf" / name, old if upwards else NEW)
    remote = servers.remote("cloud", servers.start("s3", store, "--etag-hash", ""))
    ends = (local, "cloud:shelf") if upwards else ("cloud:shelf", local)
    options = Options(checksum=True, retries=0)
    outcome = attempts.run(operation, *ends, remote, options=options)
    assert outcome.succeeded, outcome
    assert outcome.found.compared_by == "hash"
    told = outcome.found.left_out_names
    assert told["by_size"] == 2
    assert sorted(told["first_by_size"]) == ["book.txt", "page.txt"]
    assert not any(line.level == "debug" for line in attempts.log)


@pytest.mark.parametrize("dry_run", [True, False])
def test_objects_with_a_hash_are_not_named(attempts, servers, tmp_path, dry_run):
    version(tmp_path / "local" / "book.txt", NEW)
    for name in ("book.txt", "old.txt"):
        version(tmp_path / "store" / "shelf" / name, NEW)
    remote = servers.remote("cloud", servers.start("s3", tmp_path / "store"))
    options = Options(checksum=True, retries=0)
    outcome = attempts.run(
        "sync", tmp_path / "local", "cloud:shelf", remote, options=options, dry_run=dry_run
    )
    assert outcome.succeeded, outcome
    assert outcome.found.left_out_names is None
    if dry_run:
        assert (outcome.plan.deletes, outcome.plan.unchanged) == (1, 1)


@pytest.mark.parametrize("kind", ["webdav", "ftp", "sftp", "s3"])
def test_check_finds_a_corrupted_file_of_the_same_length(attempts, servers, tmp_path, kind):
    version(tmp_path / "source" / "book.txt", NEW)
    version(tmp_path / "store" / "shelf" / "book.txt", OLD)
    remote = servers.remote("nas", servers.start(kind, tmp_path / "store"))
    outcome = attempts.run("check", tmp_path / "source", "nas:shelf", remote)
    assert outcome.found.outcome == "different", outcome
    assert "book.txt" in str(outcome.found.difference_names)
    assert not any("could not be checked" in line.message for line in attempts.log)


def test_verification_reads_the_bytes_where_no_hash_is_common(attempts, servers, tmp_path):
    """The server's disk changes a byte behind its back, after it was written."""
    version(tmp_path / "source" / "book.txt", NEW)
    remote = servers.remote("nas", servers.start("webdav", tmp_path / "store"))
    options = Options(verify=True, retries=0)
    outcome = attempts.run("copy", tmp_path / "source", "nas:shelf", remote, options=options)
    assert outcome.succeeded
    assert outcome.found.compared_by == "bytes"
    commands = [line.message for line in attempts.log]
    assert not any("could not be checked" in message for message in commands), commands
