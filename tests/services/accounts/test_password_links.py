"""A link that sets a password once: invitations, and resets without a password to pass on."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from portal.db.clock import now
from portal.db.session import session
from portal.models import AuditEntry, PasswordLink, User
from portal.settings import Settings
from tests.support.client import at_once
from tests.support.sessions import is_open
from tests.support.users import PASSWORD

GOOD = "a password of their own"


def shown_link(answer: Any) -> str:
    """Its path."""
    found = re.search(r"once, for 72 hours: http://localhost(/password/[\w-]+)", answer.text)
    assert found is not None, answer.text
    return found.group(1)


def invite(alice: Any, name: str = "dora", role: str = "operator") -> str:
    answer = alice.post("/users", {"username": name, "role": role, "by": "link"})
    assert answer.status_code == 303
    return shown_link(alice.get("/users"))


def link_for(alice: Any, number: int) -> str:
    assert alice.post(f"/users/{number}/password-link").status_code == 303
    return shown_link(alice.get("/users"))


def links() -> list[PasswordLink]:
    session.rollback()
    return session.query(PasswordLink).all()


def test_invited_user_chooses_a_password_and_signs_in(browser: Any) -> None:
    path = invite(browser("alice"))
    dora = browser()
    assert "You will sign in as dora." in dora.get(path).text
    answer = dora.post(path, {"new_password": GOOD})
    assert (answer.status_code, answer.location) == (303, "/login")
    assert "Your password is set." in dora.get("/login").text
    assert dora.sign_in("dora", GOOD).status_code == 303
    assert dora.get("/api/session").json["role"] == "operator"


def test_link_is_shown_once(browser: Any) -> None:
    alice = browser("alice")
    path = invite(alice)
    assert path not in alice.get("/users").text


def test_nobody_signs_in_as_who_was_only_invited(browser: Any) -> None:
    alice = browser("alice")
    path = invite(alice)
    assert ">invited<" in alice.get("/users").text
    for password in ("x", path.rpartition("/")[2]):
        assert browser().sign_in("dora", password).status_code == 401
    assert browser().sign_in("dora", "").status_code == 422


def test_link_works_once(browser: Any) -> None:
    path = invite(browser("alice"))
    first, second = browser(), browser()
    assert first.post(path, {"new_password": GOOD}).status_code == 303
    refused = second.post(path, {"new_password": "a password of another"})
    assert refused.status_code == 404
    assert "Ask an admin for a new one." in refused.text
    assert second.get(path).status_code == 404
    assert browser().sign_in("dora", GOOD).status_code == 303


def test_looking_at_a_link_does_not_use_it_up(browser: Any) -> None:
    path = invite(browser("alice"))
    for _ in range(3):
        assert browser().get(path).status_code == 200
    assert browser().post(path, {"new_password": GOOD}).status_code == 303


def test_two_who_use_a_link_at_once_set_one_password(browser: Any) -> None:
    path = invite(browser("alice"))
    forms = [(one, {"csrf_token": one.token()}) for one in (browser(), browser())]
    codes = at_once(
        *(
            lambda one=one, form=form, number=number: (
                one.client.post(path, data={**form, "new_password": f"{GOOD} {number}"}).status_code
            )
            for number, (one, form) in enumerate(forms)
        )
    )
    assert sorted(codes) == [303, 404]
    works = [browser().sign_in("dora", f"{GOOD} {number}").status_code for number in range(2)]
    assert sorted(works) == [303, 401]


def test_link_expires_after_72_hours(browser: Any) -> None:
    alice = browser("alice")
    path = invite(alice)
    (link,) = links()
    assert timedelta(hours=71) < link.expires_at - now() <= timedelta(hours=72)
    link.expires_at = now() - timedelta(seconds=1)
    session.commit()
    assert browser().get(path).status_code == 404
    assert browser().post(path, {"new_password": GOOD}).status_code == 404
    assert "invitation expired" in alice.get("/users").text


def test_newer_link_ends_the_older_one(browser: Any, user: Any) -> None:
    alice = browser("alice")
    old = link_for(alice, user("bob").id)
    new = link_for(alice, user("bob").id)
    assert browser().get(old).status_code == 404
    assert browser().get(new).status_code == 200


def test_database_holds_the_hash_of_the_link_alone(browser: Any, settings: Settings) -> None:
    token = invite(browser("alice")).rpartition("/")[2].encode()
    files = [path for path in settings.data_dir.iterdir() if path.name.startswith("portal.sqlite")]
    assert token not in b"".join(path.read_bytes() for path in files)


@pytest.mark.parametrize("token", ["x", "A" * 43, "%00", "%F0%9F%98%80", "..%2f..%2f", "A" * 4000])
def test_token_that_was_never_given_out_is_404(browser: Any, token: str) -> None:
    assert browser().get(f"/password/{token}").status_code == 404


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("x7!qz", "Use at least 12 characters"),
        ("qwertyuiop", "one of the most common passwords"),
        ("doradoradoradora", "This is too easy to guess."),
        ("", "Enter a new password."),
        ("x" * 1025, "Use at most 1024 characters."),
    ],
)
def test_weak_password_is_refused_beside_the_field_and_the_link_stays(
    browser: Any, password: str, words: str
) -> None:
    path = invite(browser("alice"))
    answer = browser().post(path, {"new_password": password})
    assert answer.status_code == 422
    assert words in answer.text
    assert browser().post(path, {"new_password": GOOD}).status_code == 303


def test_link_for_a_user_changes_nothing_until_it_is_used(browser: Any, user: Any) -> None:
    bob, alice = browser("bob"), browser("alice")
    path = link_for(alice, user("bob").id)
    assert is_open(bob)
    assert browser().sign_in("bob", PASSWORD).status_code == 303
    browser().post(path, {"new_password": GOOD})
    assert not is_open(bob)
    assert browser().sign_in("bob", PASSWORD).status_code == 401
    assert browser().sign_in("bob", GOOD).status_code == 303


@pytest.mark.parametrize("act", ["disable", "reset-password"])
def test_link_dies_with_what_it_would_undo(browser: Any, user: Any, act: str) -> None:
    alice, number = browser("alice"), user("bob").id
    path = link_for(alice, number)
    alice.post(f"/users/{number}/{act}")
    assert browser().get(path).status_code == 404
    alice.post(f"/users/{number}/enable")
    assert browser().post(path, {"new_password": GOOD}).status_code == 404


def test_own_password_change_ends_a_link(browser: Any, user: Any) -> None:
    path = link_for(browser("alice"), user("bob").id)
    form = {"current_password": PASSWORD, "new_password": "another good one"}
    assert browser("bob").post("/settings/password", form).status_code == 303
    assert browser().get(path).status_code == 404


def test_disabled_user_gets_no_link(browser: Any, user: Any) -> None:
    alice, number = browser("alice"), user("bob").id
    alice.post(f"/users/{number}/disable")
    answer = alice.post(f"/users/{number}/password-link")
    assert answer.status_code == 409
    assert "bob is disabled." in answer.text
    assert links() == []


def test_refused_invitation_leaves_no_user(browser: Any) -> None:
    alice = browser("alice")
    before = session.query(User).count()
    form = {"username": "bob", "role": "viewer", "by": "link"}
    assert alice.post("/users", form).status_code == 422
    assert session.query(User).count() == before
    assert links() == []


def test_making_and_using_a_link_is_noted_without_the_link(browser: Any) -> None:
    path = invite(browser("alice"))
    browser().post(path, {"new_password": GOOD})
    session.rollback()
    noted = [
        (entry.action, entry.actor, entry.target)
        for entry in session.query(AuditEntry).filter(AuditEntry.target == "dora")
    ]
    assert noted == [
        ("user.create", "alice", "dora"),
        ("user.password-link", "alice", "dora"),
        ("password.set-by-link", "dora", "dora"),
    ]
    token = path.rpartition("/")[2]
    assert all(token not in entry.detail for entry in session.query(AuditEntry))
