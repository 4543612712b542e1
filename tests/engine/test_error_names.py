"""Why something failed is read in the words of the system, not in names that stand among them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.engine import (
    Outcome,
    ProcessSettings,
    RcloneProcess,
    Remote,
    TransferOrder,
    list_folder,
    rclone_path,
)
from portal.engine.failures.error_names import Names
from portal.engine.failures.exit_codes import modes_refused, reason_for
from portal.engine.output.statistics import Error
from tests.support.scripts import python_program

#: Names that read like a reason of something else.
MISLEADING = [
    "No space left on device.txt",
    "permission denied",
    "401 unauthorized",
    "read-only file system: really",
    "x: EOF",
    "disk quota exceeded (2)",
    "AccessDenied",
    "5 differences found",
    'say "connection refused"',
    "replaced at the source meanwhile",
    "failed to calculate src hash: not found",
    "input/output error".replace("/", "-") + " input output",
]
NAS = Remote("nas", "sftp", {"host": "ssh-agent.example.org", "user": "nosuchbucket"})


def reason(message: str, object_: str = "", source: str = "/src", to: str = "/dst") -> str:
    names = Names([source, to], [NAS])
    return reason_for(1, False, [names.without(Error("", object_, message))])


@pytest.mark.parametrize("name", MISLEADING)
@pytest.mark.parametrize("folder", ["", "deep/", "permission denied/no such host/"])
def test_name_is_no_reason_wherever_it_stands(name: str, folder: str) -> None:
    path = folder + name
    for place in ("/src", f"/roots/{name}", "nas:a", f"nas:{name}"):
        local = place.partition(":")[2] or place
        for message in (
            f"Failed to copy: open {local}/{path}: something new",
            f"open {local}/{path}.1f2e3d4c.portal-part: something new",
            f"rename {local}/{path}.1f2e3d4c.portal-part {local}/{path}: something new",
            f"mkdir {local}/{path}: something new",
            f'Put "https://dav.example.org/{path.replace(" ", "%20")}": something new',
            f'failed to open "{local}/{path}": something new',
            f"Failed to copy {path}: something new",
            f'stor: 450 "write /srv/x/{path}.1f2e3d4c.portal1-1: something new"',
        ):
            if '"' in name and ("%20" in message or "stor: " in message):
                continue
            said = reason(message, path, source=place)
            assert said.startswith("The transfer failed."), (message, said)


@pytest.mark.parametrize("name", MISLEADING)
@pytest.mark.parametrize(
    ("words", "begin"),
    [
        ("permission denied", "The portal is not allowed to read or write"),
        ("no space left on device", "The destination disk is full"),
        ("input/output error", "A disk reported an input/output error"),
    ],
)
def test_true_reason_is_found_beside_a_misleading_name(name: str, words: str, begin: str) -> None:
    for path in (name, f"{name}/{name}", f"plain/{name}"):
        for message in (
            f"Failed to copy: open /src/{path}: {words}",
            f"write /dst/{path}.1f2e3d4c.portal-part: {words}",
        ):
            said = reason(message, path)
            assert said.startswith(begin), (message, said)


@pytest.mark.parametrize(
    ("message", "begin"),
    [
        (
            'sftp: "Permission denied" (SSH_FX_PERMISSION_DENIED)',
            "The portal is not allowed to read or",
        ),
        ('oauth2: "invalid_grant" "Invalid JWT Signature."', "Google no longer knows this key"),
        ('{"error": "access denied", "status": 403}', "The storage does not allow this"),
        (
            "dial tcp: lookup ssh-agent.example.org on 10.0.0.1:53: no such host",
            "The storage server's name",
        ),
        ("dial tcp 10.0.0.1:22: connect: connection refused", "The storage's server refuses"),
        (
            "couldn't connect SSH: ssh: unable to authenticate, user x",
            "The storage did",
        ),
        ('for "nas:a/b": is a file not a directory', "The destination is a file, or the s"),
        (
            "Failed to move: is a directory not a file",
            "A folder, or something else that is no file",
        ),
        ('for "/dst/a": is a file not a directory', "The destination is, or lies below, a file"),
        ('invalid argument "x" for "--bwlimit" flag', "rclone does not understand the bandwidth"),
        ('failed to reload "filter" options: bad', "rclone does not understand one of the pat"),
        ("error reading source root directory: directory not found", "The source folder does not"),
        (
            "Failed to copy: failed to open source object: lstat /src/a: no such file or directory",
            "Some files could not be found when their turn came",
        ),
        (
            "Failed to copy: failed to open source object: lstat /src/a/b: not a directory",
            "Some files could not be found when their turn came",
        ),
        (
            "Failed to calculate src hash: hash: failed to open: open /src/a: no such file or d",
            "Some files were renamed, deleted, or replaced by links or folders at the source",
        ),
        (
            "Failed to calculate src hash: hash: failed to open: open /src/a: permission denied",
            "The portal is not allowed to read or write one of the files",
        ),
        (
            'corrupted on transfer: md5 hashes differ src(x) "0c" vs dst(y) "1f"',
            "What arrived is not what was sent",
        ),
        (
            "Failed to copy: failed to open source object: Open failed: file does not exist",
            "Some files could not be found when their turn came",
        ),
        (
            "Failed to copy: failed to read metadata from source object: lstat: no such file",
            "Some files could not be found when their turn came",
        ),
        (
            "Couldn't move: move: failed to read metadata: failed to read xattr: no such file",
            "Some files could not be found when their turn came",
        ),
        (
            "Failed to copy: failed to open source object: open /src/a: permission denied",
            "The portal is not allowed to read or write one of the files",
        ),
        (
            '1 error:\n\t* 450 "write /srv/x/a.bin.portal3-1: no space left on device"',
            "The destination disk is full",
        ),
        (
            'stor: 1 error occurred:\n\t* 450 "error during transfer: Read only file system"',
            "A file system is read-only",
        ),
        ('stor: 552 "write /srv/x/a.bin: disk quota exceeded"', "The disk quota at the dest"),
        (
            "unchunked simple update failed: 405 Method Not Allowed",
            "The storage does not allow this",
        ),
        (
            "Couldn't delete: Method Not Allowed: 405 Method Not Allowed",
            "The storage does not allow",
        ),
        ("Failed to copy: 507 Insufficient Storage", "The storage is full"),
        ("setpriv: failed to execute /x/rclone: No such file", "rclone could not be started"),
    ],
)
def test_words_of_systems_and_storages_still_count(message: str, begin: str) -> None:
    assert reason(message, source="nas:a/b", to="/dst/a").startswith(begin)


NO_MODES = ("failed to set metadata", "failed to change permissions", "failed to read metadata")


@pytest.mark.parametrize("words", NO_MODES)
@pytest.mark.parametrize("path", ["{}.txt", "{}/a.txt", "a: {}: b"])
def test_name_is_no_refusal_of_modes(words: str, path: str) -> None:
    names = Names(["/src", "/dst"])

    def refused(message: str) -> bool:
        return modes_refused([names.without(Error("", path.format(words), message))])

    for message in ("open /src/{}: something new", "{}: something new", 'rename "{}": new'):
        assert not refused(f"Failed to copy: {message.format(path.format(words))}")
    assert modes_refused([names.without(Error("", "a", f"Failed to copy: {words}: chmod /dst/a"))])


@pytest.mark.parametrize("words", NO_MODES)
def test_file_that_is_gone_refuses_no_modes(words: str) -> None:
    said = f"Failed to copy: {words}: failed to read xattr: xattr.list /src/a: no such file"
    assert not modes_refused([said])
    assert modes_refused([said, f"{words}: chmod /dst/b: operation not supported"])


def test_host_and_user_are_names_too() -> None:
    for message in (
        "ssh-agent.example.org: something new",
        "user nosuchbucket at ssh-agent.example.org:22: something new",
        "dial tcp: lookup ssh-agent.example.org: something new",
    ):
        assert reason(message).startswith("The transfer failed."), message


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_names_are_taken_out_of_any_text(message: str, object_: str, place: str) -> None:
    Names([f"/{place}", f"nas:{place}"], [NAS]).without(Error("", object_, message))


# --- a real rclone ------------------------------------------------------------------------------


def _failed(bench, source: str, to: str, remotes: tuple[Remote, ...] = ()) -> Outcome:
    order = TransferOrder(7, 1, "copy", source, to, None, False, remotes=remotes)
    transfer = RcloneProcess(ProcessSettings(bench.rclone, bench.folder), order)
    bench.started.append(transfer)
    transfer.start()
    list(transfer.readings())
    return transfer.outcome()


@pytest.mark.parametrize("name", MISLEADING)
def test_file_that_fails_for_another_reason_is_told_by_that(
    bench, tmp_path: Path, name: str
) -> None:
    """A folder stands where the file is to go."""
    (tmp_path / "from" / name).mkdir(parents=True)
    (tmp_path / "from" / name / name).write_text("x")
    (tmp_path / "to" / name / name / "in the way").mkdir(parents=True)
    outcome = _failed(bench, str(tmp_path / "from"), str(tmp_path / "to"))
    assert not outcome.succeeded
    told = " ".join(outcome.error_lines)
    assert name.partition('"')[0] in told
    begin = "A folder, or something else that is no file, lies at the destination"
    assert outcome.reason.startswith(begin), (outcome.reason, told)


def test_file_where_a_folder_is_needed_does_not_make_the_destination_a_file(bench, tmp_path: Path):
    (tmp_path / "from" / "sub").mkdir(parents=True)
    (tmp_path / "from" / "sub" / "book.txt").write_text("x")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "sub").write_text("a file")
    outcome = _failed(bench, str(tmp_path / "from"), str(tmp_path / "to"))
    assert outcome.reason.startswith("A file lies where the destination needs a folder;")
    assert any("sub/book.txt" in line for line in outcome.error_lines)


@pytest.mark.parametrize("name", MISLEADING)
def test_server_of_a_misleading_place_that_refuses_is_told_to_refuse(
    tmp_path: Path, name: str
) -> None:
    port = 1  # nobody listens there
    remote = Remote(
        "nas", "webdav", {"url": f"http://127.0.0.1:{port}/{name.split(maxsplit=1)[0]}"}
    )
    listing = list_folder(rclone_path(None), remote, name, seconds=20)
    assert listing.problem is not None
    assert listing.problem.startswith("The storage's server refuses the connection.")


def test_outcome_is_read_without_names(bench, tmp_path: Path) -> None:
    bench.rclone = python_program(
        tmp_path / "rclone",
        "import json, sys\n"
        "print(json.dumps({'level': 'error', 'object': 'No space left on device.txt', 'msg': "
        "'Failed to copy: open /a/No space left on device.txt: permission denied'}),"
        " file=sys.stderr)\nsys.exit(1)\n",
    )
    outcome = _failed(bench, "/a", "/b")
    assert outcome.reason is not None
    assert outcome.reason.startswith("The portal is not allowed to read or write one of the files.")
    assert "No space left" in outcome.error_lines[0]
    assert os.environ.get("PATH")
