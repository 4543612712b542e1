"""Remotes may not lead to the portal's own machine, which is its usual state; the other tests here
allow it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.db.session import session
from portal.models import Remote
from portal.services.storage import connections
from portal.settings import load_settings
from tests.support.job_pages import errors_in
from tests.support.remotes import add, stored
from tests.support.storages import Storage


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Any:
    return load_settings(data_dir=tmp_path / "data", transfer_roots=(root,))


def test_remote_to_this_machine_is_refused_in_the_form(browser: Any) -> None:
    alice = browser("alice")
    for host in ("127.0.0.1", "localhost", "169.254.169.254"):
        answer = add(alice, {"host": host, "user": "bob", "pass": "x"})
        assert answer.status_code == 422
        assert "own machine" in errors_in(answer.text)["option_host"]
    answer = add(alice, {"provider": "Minio", "endpoint": "http://[::1]:9000"}, backend="s3")
    assert "own machine" in errors_in(answer.text)["option_endpoint"]
    assert stored() is None


def test_and_at_the_test_and_before_the_transfer(
    browser: Callable[..., Any], app: Any, new_job: Any, execute: Any
) -> None:
    session.add(Remote(id=1, name="nas", backend="sftp", options={"host": "127.0.0.1"}))
    session.commit()
    alice = browser("alice")
    alice.post("/remotes/1/test")
    assert "own machine" in alice.get("/remotes/1").text
    assert "own machine" in alice.get("/browse?at=nas:").text
    job = new_job(destination="nas:x", destination_remote_id=1)
    execute(job)
    assert "own machine" in alice.get(f"/jobs/{job}").text


def test_name_that_leads_elsewhere_when_it_is_looked_at_and_here_when_it_is_used(
    browser: Callable[..., Any],
    new_job: Any,
    execute: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Listing, test and transfer all go through the egress proxy, which looks by itself."""
    monkeypatch.setattr(connections, "refuse_local", lambda *_, **__: "192.0.2.7")
    with Storage("webdav", tmp_path / "storage") as storage:
        session.add(Remote(id=1, name="dav", backend="webdav", options={"url": storage.url}))
        session.commit()
        alice = browser("alice")
        alice.post("/remotes/1/test")
        job = new_job(destination="dav:x", destination_remote_id=1)
        execute(job)
        for path in ("/remotes/1", "/browse?at=dav:", f"/jobs/{job}"):
            assert "leads to the portal&#39;s own machine" in alice.get(path).text, path
    assert list((tmp_path / "storage").glob("x*")) == []


def test_share_is_told_the_address_that_was_looked_at(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMB is the one that rclone cannot send through the egress proxy."""
    options = {"host": "nas.example", "user": "bob"}
    remote = Remote(name="nas", backend="smb", options=options, secrets={})
    for found, told in (("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "[2001:db8::7]")):
        monkeypatch.setattr(connections, "refuse_local", lambda *_, _a=found, **__: _a)
        assert connections.engine_remote(remote).parameters["host"] == told
