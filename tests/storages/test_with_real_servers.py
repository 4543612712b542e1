"""Causes and cures that only the servers themselves can show."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portal.transfers.states import JobStatus
from tests.storages.met import Storage, completed
from tests.storages.servers import KINDS, Server, script
from tests.support.files import fill, sums

Meet = Callable[..., Any]


@pytest.fixture
def meet(tmp_path: Path, browser: Any, execute: Any) -> Meet:
    """A storage of this kind; ``command`` starts another server for it."""

    @contextmanager
    def run(kind: str, **changed: Any) -> Iterator[Storage]:
        with Server(replace(KINDS[kind], **changed), tmp_path / f"server {kind}") as server:
            yield Storage(server, browser, execute)

    return run


@pytest.mark.parametrize(
    ("kind", "start", "said"),
    [
        ("smb", "MISSING", "There is no such share."),
        ("smb", "SHARE/missing", "It answers, but there is no folder “SHARE/missing”."),
        ("azure", "missing", "It answers, but there is no container “missing”."),
        ("google", "missing", "It answers, but there is no bucket “missing”."),
        ("ftp", "missing", "It answers, but there is no folder “missing”."),
        ("webdav", "missing", "It answers, but there is no folder “missing”."),
    ],
)
def test_nothing_where_the_test_looks(meet: Meet, kind: str, start: str, said: str) -> None:
    with meet(kind) as storage:
        storage.add(start=start)
        assert storage.verdict().startswith(said)


@pytest.mark.parametrize("kind", ["azure", "google", "webdav", "ftp"])
def test_storage_that_is_empty_is_green(meet: Meet, kind: str) -> None:
    with meet(kind) as storage:
        storage.add()
        assert storage.verdict().startswith("Works: found 0 entries in ")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"explicit_tls": "", "disable_tls13": ""}, "The server requires TLS."),
        ({"no_check_certificate": ""}, "The server's certificate comes from an authority"),
    ],
)
def test_ftp_server_that_demands_tls(meet: Meet, changed: dict[str, str], said: str) -> None:
    with meet("ftp with TLS") as storage:
        storage.add(**changed)
        assert storage.verdict().startswith(said)


def test_tls_that_loses_the_end_of_files_is_reported_with_its_cure(meet: Meet, root: Path) -> None:
    (root / "sent").mkdir()
    for number in range(12):
        (root / "sent" / f"part {number}").write_bytes(os.urandom(2_500_000))
    before = sums(root / "sent")
    with meet("ftp with TLS") as storage:
        storage.add("lossy", disable_tls13="")
        job = storage.transfer("move", root / "sent", "lossy:there")
        assert job.status == JobStatus.FAILED
        assert str(job.error).startswith("What arrived is not what was sent")
        assert "“Disable TLS 1.3”" in str(job.error)
        kept = sums(root / "sent") | sums(storage.server.files / "there")
        assert kept == before, "what is not there yet is still here"
        storage.add("cured")
        assert completed(storage.transfer("move", root / "sent", "cured:there"))
        assert sums(storage.server.files / "there") == before


def test_ftp_server_that_takes_a_missing_folder_for_a_wrong_command(meet: Meet, root: Path) -> None:
    """As pyftpdlib does, which many things with an FTP server in them are made of."""
    sent = sums(fill(root / "sent"))
    with meet("ftp", command=script("ftp.py", "--as-it-is")) as storage:
        storage.add("odd")
        storage.add("cured", disable_mlsd="y")
        job = storage.transfer("copy", root / "sent", "odd:new/folder")
        assert job.status == JobStatus.FAILED
        assert "“Disable MLSD”" in str(job.error)
        assert completed(storage.transfer("copy", root / "sent", "cured:new/folder"))
        assert sums(storage.server.files / "new" / "folder") == sent


def test_new_folder_of_smb_is_made_in_a_share_and_refused_above(meet: Meet) -> None:
    with meet("smb") as storage:
        storage.add()
        job_fields = {"at": "nas:", "name": "mine"}
        refused = storage.bob.post("/browse/folders", job_fields)
        assert refused.status_code == 422
        assert "Shares are created on the server." in refused.text
        job_fields["at"] = "nas:SHARE"
        assert storage.bob.post("/browse/folders", job_fields).status_code == 201
        assert (storage.server.files / "mine").is_dir()
        assert "mine" in storage.bob.get("/browse", query_string={"at": "nas:SHARE"}).text


@pytest.mark.parametrize(("kind", "name"), [("azure", "new-container"), ("google", "new-bucket")])
def test_new_bucket_is_seen(meet: Meet, kind: str, name: str) -> None:
    with meet(kind) as storage:
        storage.add()
        answer = storage.bob.post("/browse/folders", {"at": "nas:", "name": name})
        assert answer.status_code == 201
        assert name in storage.bob.get("/browse", query_string={"at": "nas:"}).text


def test_bucket_with_a_name_that_none_may_have_is_refused_with_the_rule(meet: Meet) -> None:
    with meet("azure") as storage:
        storage.add()
        answer = storage.bob.post("/browse/folders", {"at": "nas:", "name": "My Container"})
        assert answer.status_code == 422
        assert "A bucket cannot have this name." in answer.text
