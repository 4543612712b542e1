"""Admins make, change, test and delete remotes; secrets go in and never come out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from portal.db.session import session
from portal.models import AuditEntry, Remote
from portal.remotes.backends import BACKENDS
from portal.services.runtime import runtime
from portal.transfers.states import JobStatus
from tests.support.client import Browser
from tests.support.job_pages import errors_in
from tests.support.remotes import SFTP, add, stored
from tests.support.storages import PASSWORD, Storage, typed


@pytest.fixture
def alice(browser: Callable[..., Browser]) -> Browser:
    return browser("alice")


def the(name: str = "nas") -> Remote:
    found = stored(name)
    assert found is not None
    return found


def save(alice: Browser, options: dict[str, str], version: int = 1, **fields: str) -> Any:
    return alice.post(f"/remotes/{the().id}", typed(options, version=str(version), **fields))


def notes(action: str) -> list[AuditEntry]:
    session.remove()
    of_action = select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.id)
    found = list(session.scalars(of_action))
    session.remove()
    return found


def test_no_remote_yet_says_what_one_is_and_leads_to_the_form(alice: Browser) -> None:
    page = alice.get("/remotes").text
    assert "No remotes yet" in page
    assert 'href="/remotes/new"' in page


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_kind_of_storage_has_a_form(alice: Browser, backend: str) -> None:
    assert f'href="/remotes/new?backend={backend}"' in alice.get("/remotes/new").text
    page = alice.get(f"/remotes/new?backend={backend}")
    assert page.status_code == 200
    shown = set(re.findall(r'name="option_(\w+)"', page.text))
    assert shown == set(BACKENDS[backend].allowed)


def test_kind_that_does_not_exist_is_404(alice: Browser) -> None:
    assert alice.get("/remotes/new?backend=crypt").status_code == 404
    assert alice.post("/remotes", {"backend": "alias"}).status_code == 404


def test_remote_is_kept_with_its_secret_sealed(alice: Browser) -> None:
    answer = add(alice, SFTP | {"concurrency": "16"})
    assert answer.status_code == 303
    remote = the()
    assert remote.options == {
        "host": "127.0.0.1",
        "port": "2022",
        "user": "bob",
        "concurrency": "16",
    }
    assert list(remote.secrets) == ["pass"]
    assert PASSWORD not in remote.secrets["pass"]
    assert runtime().keys.decrypt(remote.secrets["pass"]) == PASSWORD
    (entry,) = notes("remote.create")
    assert entry.target == "remote nas"
    assert entry.actor == "alice"
    assert "host" in entry.detail


def test_secret_comes_back_on_no_page(alice: Browser) -> None:
    path = add(alice).location
    page = alice.get(path).text
    assert "Saved. Leave empty to keep it." in page
    for text in (page, alice.get("/remotes").text, alice.get("/audit").text):
        assert PASSWORD not in text
        assert the().secrets["pass"] not in text


def test_empty_secret_keeps_the_stored_one_and_a_ticked_box_removes_it(alice: Browser) -> None:
    key = {"key_pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}
    add(alice, SFTP | key)
    assert set(the().secrets) == {"pass", "key_pem"}
    assert save(alice, SFTP | {"pass": "", "user": "carol"}).status_code == 303
    assert runtime().keys.decrypt(the().secrets["pass"]) == PASSWORD
    assert the().options["user"] == "carol"
    assert save(alice, SFTP | {"pass": ""}, 2, clear_pass="y").status_code == 303
    assert set(the().secrets) == {"key_pem"}
    assert "removed: pass" in notes("remote.change")[-1].detail


@pytest.mark.parametrize("change", [{"host": "127.0.0.2"}, {"port": "2023"}])
def test_secret_has_to_be_typed_again_for_another_server(
    alice: Browser, change: dict[str, str]
) -> None:
    add(alice)
    answer = save(alice, SFTP | change | {"pass": ""})
    assert answer.status_code == 422
    assert "Enter this again" in errors_in(answer.text)["option_pass"]
    assert the().options["port"] == "2022"
    assert save(alice, SFTP | change).status_code == 303


def test_later_of_two_editors_is_told_and_nothing_is_lost(
    alice: Browser, browser: Callable[..., Browser]
) -> None:
    add(alice)
    assert save(alice, SFTP | {"user": "first"}).status_code == 303
    late = save(alice, SFTP | {"user": "second", "pass": ""}, version=1)
    assert late.status_code == 409
    assert "alice changed this remote while you edited it" in late.text
    assert 'value="second"' in late.text
    assert "first" in late.text
    assert errors_in(late.text) == {}, "no secret was typed"
    assert the().options["user"] == "first"
    version = re.search(r'name="version"[^>]*value="(\d+)"', late.text)
    assert version is not None
    assert save(alice, SFTP | {"user": "second"}, int(version[1])).status_code == 303
    assert the().options["user"] == "second"


def test_typed_secret_is_asked_for_again_with_the_page_that_does_not_hold_it(
    alice: Browser,
) -> None:
    """Left empty it would keep the one before, and nobody would know."""
    add(alice)
    for version, wrong, code in ((1, {"port": "none"}, 422), (7, {}, 409)):
        answer = save(alice, SFTP | {"pass": "another one"} | wrong, version)
        assert answer.status_code == code
        assert errors_in(answer.text)["option_pass"].startswith("Enter this again")
        assert "another one" not in answer.text
    answer = save(alice, SFTP | {"pass": "", "port": "none"})
    assert errors_in(answer.text).keys() == {"option_port"}


def test_each_wrong_field_is_named_at_once_and_what_was_typed_stays(alice: Browser) -> None:
    wrong = {"host": "two words", "port": "70000", "concurrency": "many", "idle_timeout": "soon"}
    key = "-----BEGIN PRIVATE KEY-----\nSECRETKEY\n-----END PRIVATE KEY-----"
    answer = add(
        alice, SFTP | wrong | {"key_pem": key}, name="No Name", role="root", start="a/../b"
    )
    assert answer.status_code == 422
    said = errors_in(answer.text)
    secret = {"option_pass", "option_key_pem"}
    assert said.keys() == {"name", "role", "start", *(f"option_{name}" for name in wrong)} | secret
    for text in ("two words", "70000", "many", "soon", "No Name", "a/../b"):
        assert f'value="{text}"' in answer.text
    assert PASSWORD not in answer.text
    assert "SECRETKEY" not in answer.text
    assert stored() is None


def test_what_a_storage_cannot_do_without_is_asked_for(alice: Browser) -> None:
    answer = add(alice, {})
    assert errors_in(answer.text).keys() == {"option_host", "option_user", "option_pass"}


def test_name_is_taken_once(alice: Browser) -> None:
    add(alice)
    answer = add(alice)
    assert answer.status_code == 422
    assert "already" in errors_in(answer.text)["name"]


@pytest.mark.parametrize("kind", ["s3", "sftp", "webdav", "ftp"])
def test_connection_is_tested_with_a_plain_verdict_and_its_time(
    alice: Browser, new_remote: Any, storages: Callable[[str], Storage], kind: str
) -> None:
    storage = storages(kind)
    right = new_remote("right", kind, storage.options(), start="bucket")
    wrong = new_remote("wrong", kind, storage.options() | storage.wrong())
    closed = new_remote("closed", kind, storage.options(port=1))
    nowhere = new_remote("nowhere", kind, storage.options(), start="nothing/here")
    verdicts = {}
    for remote in (right, wrong, closed, nowhere):
        assert alice.post(f"/remotes/{remote.id}/test").status_code == 303
        verdicts[remote.name] = the(remote.name).verdict
        assert the(remote.name).works is (remote is right)
    assert re.fullmatch(r"Works: found .* in right:bucket \(\d+\.\d s\)", verdicts["right"])
    assert verdicts["wrong"].startswith("The storage did not accept the credentials.")
    assert verdicts["closed"].startswith("The storage's server refuses the connection.")
    assert verdicts["nowhere"].startswith("It answers, but there is no folder")
    assert verdicts["right"] in alice.get(f"/remotes/{right.id}").text
    assert [entry.outcome for entry in notes("remote.test")] == ["ok", "failed", "failed", "failed"]


def test_remote_is_not_deleted_while_a_job_waits_for_it(
    alice: Browser, new_remote: Any, new_job: Callable[..., int]
) -> None:
    remote = new_remote("nas", "sftp", SFTP)
    job = new_job(destination="nas:copies", destination_remote_id=remote.id)
    refused = alice.post(f"/remotes/{remote.id}/delete")
    assert refused.status_code == 409
    assert f"Job {job} still uses nas" in refused.text
    assert the().name == "nas"
    alice.post(f"/jobs/{job}/cancel")
    assert alice.post(f"/remotes/{remote.id}/delete").status_code == 303
    assert stored() is None
    assert len(notes("remote.delete")) == 1
    again = alice.post(f"/jobs/{job}/retry")
    assert again.status_code == 409
    assert "was deleted" in again.text


@pytest.mark.parametrize("changed", [{"host": "127.0.0.2"}, {"port": "2222"}, {"user": "bea"}])
def test_remote_leads_to_no_other_place_while_a_job_waits_for_it(
    alice: Browser, new_remote: Any, new_job: Callable[..., int], changed: dict[str, str]
) -> None:
    """A sync would make its destination like a source that nobody has seen."""
    remote = new_remote("nas", "sftp", SFTP)
    job = new_job(destination="nas:copies", destination_remote_id=remote.id)
    refused = save(alice, {**SFTP, **changed})
    assert refused.status_code == 422
    (field,) = changed
    assert f"Job {job} still uses nas" in errors_in(refused.text)[f"option_{field}"]
    assert the().options == remote.options
    assert save(alice, {**SFTP, "pass": "another"}).status_code == 303  # the same place
    alice.post(f"/jobs/{job}/cancel")
    assert save(alice, {**SFTP, **changed}, version=2).status_code == 303
    assert the().options[field] == changed[field]


def test_job_whose_remote_is_gone_fails_with_the_reason(
    alice: Browser, new_remote: Any, new_job: Any, execute: Any
) -> None:
    remote = new_remote("nas", "sftp", SFTP)
    job = new_job(destination="nas:copies", destination_remote_id=remote.id)
    session.delete(session.get_one(Remote, remote.id))  # as a restored database may have it
    session.commit()
    execute(job)
    page = alice.get(f"/jobs/{job}").text
    assert f'data-status="{JobStatus.FAILED}"' in page
    assert "The remote nas of the destination was deleted." in page


def test_remote_for_admins_is_nothing_to_operators(
    browser: Callable[..., Browser], new_remote: Any, root: Any
) -> None:
    new_remote("vault", "sftp", SFTP, role="admin")
    job_fields = {"name": "x", "operation": "copy", "source": str(root), "destination": "vault:x"}
    refused = browser("bob").post("/jobs", job_fields)
    assert refused.status_code == 422
    assert errors_in(refused.text)["destination"] == "No remote named “vault” is available to you."
    made = browser("alice").post("/jobs", job_fields)
    assert made.status_code == 303
    assert "vault:x" in browser("charlie").get("/jobs").text


def test_job_of_a_person_who_may_no_longer_use_the_remote_fails_and_is_not_retried(
    browser: Any, new_remote: Any, new_job: Any, execute: Any
) -> None:
    remote = new_remote("nas", "sftp", SFTP)
    job = new_job(destination="nas:copies", destination_remote_id=remote.id)
    session.get_one(Remote, remote.id).role = "admin"
    session.commit()
    execute(job)
    bob = browser("bob")
    assert "bob may no longer use the remote nas" in bob.get(f"/jobs/{job}").text
    assert bob.post(f"/jobs/{job}/retry").status_code == 409


def test_operators_and_viewers_see_no_remotes_and_no_link_to_them(browser: Any) -> None:
    for name in ("bob", "charlie"):
        person = browser(name)
        assert person.get("/remotes").status_code == 403
        assert "/remotes" not in person.get("/").text
    assert 'href="/remotes"' in browser("alice").get("/").text
