"""Another machine answers in the place of an SFTP server: it is given neither password nor file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from sqlalchemy import select

from portal.db.session import session
from portal.models import AuditEntry, Remote
from portal.transfers.states import JobStatus
from tests.support.client import Browser
from tests.support.remotes import add, stored
from tests.support.storages import Storage, typed
from tests.support.transfers import status_of
from tests.support.transfers import stored as stored_job

Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"remotes_allow_local": True}


def fingerprint(key: Key) -> str:
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    public = key.public_key().public_bytes(*form).split()[1]
    digest = hashlib.sha256(base64.b64decode(public)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


FIRST, SECOND, THIRD = (ed25519.Ed25519PrivateKey.generate() for _ in range(3))
OF_ANOTHER_KIND = ec.generate_private_key(ec.SECP256R1())


class Server:
    """An SFTP server at one port, with the host key that it is given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: Storage | None = None
        self.port: int | None = None
        self.shows(FIRST)

    def shows(self, key: Key) -> None:
        self.stop()
        file = self._folder / "host key"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
        )
        file.chmod(0o600)
        self._running = Storage("sftp", self.files, flags=("--key", str(file)))
        self._running.port = self.port or self._running.port
        self.port = self._running.port
        self._running.start()

    @property
    def files(self) -> Path:
        return self._folder / "served"

    def options(self, **changed: str) -> dict[str, str]:
        assert self._running is not None
        return self._running.options(**changed)

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    made = Server(folder)
    yield made
    made.stop()


@pytest.fixture
def alice(browser: Callable[..., Browser]) -> Browser:
    return browser("alice")


def the() -> Remote:
    found = stored()
    assert found is not None
    return found


def try_it(alice: Browser) -> str:
    """Tests the remote; gives its page."""
    alice.post(f"/remotes/{the().id}/test")
    return alice.get(f"/remotes/{the().id}").text


def accept(alice: Browser, typed: str) -> Any:
    return alice.post(f"/remotes/{the().id}/host-key", {"fingerprint": typed})


def notes() -> list[str]:
    session.remove()
    of_keys = select(AuditEntry).where(AuditEntry.action == "remote.host_key")
    found = [str(entry.detail) for entry in session.scalars(of_keys.order_by(AuditEntry.id))]
    session.remove()
    return found


@pytest.fixture
def pinned(alice: Browser, server: Server) -> Server:
    """The remote has been tested once."""
    add(alice, server.options())
    try_it(alice)
    return server


def test_first_test_that_succeeds_pins_the_key_and_shows_it(alice: Browser, server: Server) -> None:
    add(alice, server.options() | {"pass": "wrong"})
    assert "No host key is pinned yet" in try_it(alice)
    assert (the().works, notes()) == (False, [])
    change = typed(server.options(), version=str(the().version))
    assert alice.post(f"/remotes/{the().id}", change).status_code == 303
    page = try_it(alice)
    assert the().works, the().verdict
    assert f"{fingerprint(FIRST)}</span> (ssh-ed25519)" in page
    assert notes() == [f"{fingerprint(FIRST)} (ssh-ed25519), learned at the first test"]
    try_it(alice)
    assert the().works
    assert len(notes()) == 1


@pytest.mark.parametrize("key", [SECOND, OF_ANOTHER_KIND], ids=["the same kind", "another kind"])
def test_changed_key_is_refused_and_nothing_is_sent(
    alice: Browser,
    pinned: Server,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    key: Key,
) -> None:
    pinned.shows(key)
    said = [try_it(alice), alice.get("/browse?at=nas:").text]
    job = new_job(destination="nas:to", destination_remote_id=the().id)
    execute(job)
    assert status_of(job) == JobStatus.FAILED
    said.append(str(stored_job(job).error))
    for text in said:
        if key is SECOND:
            assert fingerprint(SECOND) in text
            assert fingerprint(FIRST) in text
        else:
            assert "has no host key of the pinned kind any more" in text
        assert "accept" in text
    assert not list(pinned.files.glob("to*"))
    assert fingerprint(FIRST) in said[0], "it stays pinned"


def test_new_key_is_accepted_by_its_fingerprint_alone(
    alice: Browser,
    pinned: Server,
    new_job: Callable[..., int],
    execute: Callable[..., None],
) -> None:
    pinned.shows(SECOND)
    assert 'id="accept-key"' in try_it(alice)
    for wrong in (fingerprint(FIRST), fingerprint(THIRD), "", "SHA256:", "x" * 300):
        assert accept(alice, wrong).status_code == 409
    assert fingerprint(FIRST) in alice.get(f"/remotes/{the().id}").text
    assert len(notes()) == 1
    assert accept(alice, f" {fingerprint(SECOND)} ").status_code == 303
    page = alice.get(f"/remotes/{the().id}").text
    assert fingerprint(SECOND) in page
    assert 'id="accept-key"' not in page
    assert notes()[-1] == (
        f"{fingerprint(SECOND)} (ssh-ed25519), "
        f"accepted instead of {fingerprint(FIRST)} (ssh-ed25519)"
    )
    job = new_job(destination="nas:to", destination_remote_id=the().id)
    execute(job)
    assert status_of(job) == JobStatus.COMPLETED


def test_third_machine_that_answers_meanwhile_is_not_accepted(
    alice: Browser, pinned: Server
) -> None:
    """Between the look at the verdict and the click."""
    pinned.shows(SECOND)
    try_it(alice)
    pinned.shows(THIRD)
    answer = accept(alice, fingerprint(SECOND))
    assert answer.status_code == 409
    assert fingerprint(THIRD) in answer.text
    pinned.stop()
    assert accept(alice, fingerprint(SECOND)).status_code == 409
    assert len(notes()) == 1


def test_form_that_was_opened_before_removes_no_key(alice: Browser, server: Server) -> None:
    add(alice, server.options())
    opened = str(the().version)
    try_it(alice)
    answer = alice.post(f"/remotes/{the().id}", typed(server.options(), version=opened))
    assert answer.status_code == 409
    assert the().options["host_keys"]


def test_key_of_one_server_is_not_kept_for_another(alice: Browser, pinned: Server) -> None:
    kept = the().options["host_keys"]
    change = typed(pinned.options(host_keys=kept), version=str(the().version))
    assert alice.post(f"/remotes/{the().id}", change).status_code == 303
    assert the().options["host_keys"] == kept
    other = typed(pinned.options(host="localhost", host_keys=kept), version=str(the().version))
    assert alice.post(f"/remotes/{the().id}", other).status_code == 303
    assert "host_keys" not in the().options


def test_operators_accept_no_key(browser: Callable[..., Browser], pinned: Server) -> None:
    pinned.shows(SECOND)
    assert accept(browser("bob"), fingerprint(SECOND)).status_code == 403
