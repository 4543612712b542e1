"""What the form of a remote asks for and takes, in the words of those who run the storage."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable
from typing import Any

import pytest

from portal.db.session import session
from portal.models import Remote
from tests.storages.certificates import ssh_key
from tests.support.client import Browser
from tests.support.job_pages import errors_in
from tests.support.storages import Storage, typed


@pytest.fixture
def alice(browser: Callable[..., Browser]) -> Browser:
    return browser("alice")


def checked(page: str, name: str) -> bool:
    found = re.search(rf'<input[^>]*name="option_{name}"[^>]*>', page)
    assert found is not None
    return "checked" in found[0]


def add(alice: Browser, backend: str, options: dict[str, str], name: str = "nas") -> Any:
    return alice.post("/remotes", typed(options, backend=backend, name=name))


def the(name: str = "nas") -> Remote:
    session.remove()
    found = session.query(Remote).filter_by(name=name).one()
    session.remove()
    return found


def test_ftp_begins_with_explicit_tls_and_plain_is_a_choice(alice: Browser) -> None:
    page = alice.get("/remotes/new?backend=ftp").text
    assert checked(page, "explicit_tls")
    assert not checked(page, "tls")
    assert "can read your password and files" in page
    plain = {"host": "127.0.0.1", "user": "bob", "pass": "secret"}
    assert add(alice, "ftp", plain, "plain").status_code == 303
    assert add(alice, "ftp", plain | {"explicit_tls": "y"}, "safe").status_code == 303
    assert the("safe").options["explicit_tls"] == "true"
    for name, ticked in (("plain", False), ("safe", True)):
        page = alice.get(f"/remotes/{the(name).id}").text
        assert checked(page, "explicit_tls") is ticked, "what is stored is shown"


def test_both_kinds_of_tls_at_once_are_refused(alice: Browser) -> None:
    both = {"host": "127.0.0.1", "user": "bob", "pass": "x", "explicit_tls": "y", "tls": "y"}
    answer = add(alice, "ftp", both)
    assert answer.status_code == 422
    assert errors_in(answer.text)["option_tls"].startswith("Choose only one of")


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("b2", ["keyID", "applicationKey", "when the application key is created"]),
        ("azureblob", ["Storage account", "Access key", "https://account.blob.core.windows.net"]),
        ("ftp", ["Disable TLS 1.3", "files arrive damaged"]),
        ("sftp", ["Paste the lines that ssh-keyscan prints"]),
    ],
)
def test_words_are_those_of_the_provider(alice: Browser, backend: str, words: list[str]) -> None:
    page = alice.get(f"/remotes/new?backend={backend}").text
    for word in words:
        assert word in page


def test_what_is_missing_is_called_as_the_form_calls_it(alice: Browser) -> None:
    errors = errors_in(add(alice, "b2", {}).text)
    assert errors["option_account"] == "Enter keyID."
    assert errors["option_key"] == "Enter applicationKey."


def test_user_who_also_runs_the_portal_is_a_user_like_any_other(alice: Browser) -> None:
    """rclone's own default is whoever runs it."""
    me = getpass.getuser()
    assert f'placeholder="{me}"' not in alice.get("/remotes/new?backend=sftp").text
    answer = add(alice, "sftp", {"host": "127.0.0.1", "user": me, "pass": "secret"})
    assert answer.status_code == 303
    assert the().options["user"] == me


KEY, OTHER = ssh_key()[1], ssh_key()[1]


@pytest.mark.parametrize(
    ("pasted", "kept"),
    [
        (KEY, KEY),
        (f"nas.example.org {KEY}", KEY),
        (f"[nas.example.org]:2022 {KEY}\r\n", KEY),
        (f"# nas:22 SSH-2.0-OpenSSH_9.2\nnas {KEY}\n# nas:22\nnas {OTHER}\n", f"{KEY},{OTHER}"),
        (f"nas,10.0.0.1 {KEY}", KEY),
        (f"{KEY} root@nas", KEY),
        (f"{KEY},{OTHER}", f"{KEY},{OTHER}"),
        (f"{KEY}\n{KEY}", KEY),
    ],
    # By names: the keys differ from process to process, and tests that run side by side must not.
    ids=["key", "host", "port", "remarks", "names", "comment", "two", "twice"],
)
def test_host_keys_are_taken_as_ssh_keyscan_prints_them(
    alice: Browser, pasted: str, kept: str
) -> None:
    options = {"host": "127.0.0.1", "user": "bob", "pass": "secret", "host_keys": pasted}
    assert add(alice, "sftp", options).status_code == 303
    assert the().options["host_keys"] == kept


@pytest.mark.parametrize("pasted", ["SHA256:abcdef", "nas", "ssh-ed25519", "ssh-ed25519 nonsense"])
def test_host_key_that_is_none_is_refused_with_a_sentence(alice: Browser, pasted: str) -> None:
    options = {"host": "127.0.0.1", "user": "bob", "pass": "secret", "host_keys": pasted}
    answer = add(alice, "sftp", options)
    assert answer.status_code == 422
    assert errors_in(answer.text)["option_host_keys"].startswith("Paste the lines that ssh-keyscan")
    assert pasted in answer.text, "what was typed stays"


def test_bucket_that_was_not_made_is_reported(
    browser: Callable[..., Browser], new_remote: Any, storages: Callable[[str], Storage]
) -> None:
    """With this option rclone makes no bucket, and says nothing."""
    options = storages("s3").options(no_check_bucket="true")
    new_remote("bare", "s3", options)
    bob = browser("bob")
    answer = bob.post("/browse/folders", {"at": "bare:", "name": "not-made"})
    assert answer.status_code == 422
    assert "The storage did not create the bucket." in answer.text
    new_remote("whole", "s3", storages("s3").options())
    assert bob.post("/browse/folders", {"at": "whole:", "name": "made-here"}).status_code == 201
    assert "made-here" in bob.get("/browse", query_string={"at": "whole:"}).text
