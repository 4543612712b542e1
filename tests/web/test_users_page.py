"""Admins make users, change their role, disable them and give them a new password."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from portal.db.session import session
from portal.models import AuditEntry, LoginSession, Role, User, UserSettings
from portal.services.accounts import users
from portal.services.actor import Actor
from tests.support.client import at_once
from tests.support.users import PASSWORD


def role_of(name: str) -> tuple[str, bool]:
    session.rollback()
    found = session.query(User).filter_by(username=name).one()
    return found.role, found.active


def active_admins() -> list[str]:
    session.rollback()
    return [
        name for (name,) in session.query(User.username).filter_by(role=Role.ADMIN, active=True)
    ]


def shown_password(answer: Any) -> str:
    found = re.search(r"shown only now\): ([\w-]+)", answer.text)
    assert found is not None, answer.text
    return found.group(1)


def test_created_user_signs_in_with_the_password_that_is_shown_once(browser: Any) -> None:
    alice = browser("alice")
    assert alice.post("/users", {"username": "Dora", "role": "operator"}).status_code == 303
    password = shown_password(alice.get("/users"))
    assert password not in alice.get("/users").text

    assert browser().sign_in("dora", password).status_code == 303
    assert role_of("dora") == (Role.OPERATOR, True)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"username": "BOB", "role": "viewer"}, "There is already a user named bob."),
        ({"username": "", "role": "viewer"}, "Enter a user name."),
        ({"username": "a b", "role": "viewer"}, "Use 1 to 64 letters"),
        ({"username": "<b>dora</b>", "role": "viewer"}, "&lt;b&gt;dora&lt;/b&gt;"),
        ({"username": "x" * 65, "role": "viewer"}, "longer than 64"),
        ({"username": "dora", "role": "owner"}, "Not a valid choice"),
        ({"username": "dora"}, ""),
        ({"username": "dora\n2026 level=info", "role": "viewer"}, "Use 1 to 64 letters"),
    ],
)
def test_refused_user_is_said_beside_the_field_and_not_made(
    browser: Any, form: dict[str, str], words: str
) -> None:
    alice = browser("alice")
    before = session.query(User).count()
    answer = alice.post("/users", form)
    assert answer.status_code == 422
    assert words in answer.text
    assert session.query(User).count() == before


def test_role_is_changed_and_shown(browser: Any, user: Any) -> None:
    alice = browser("alice")
    answer = alice.post(f"/users/{user('charlie').id}/role", {"role": "operator"})
    assert (answer.status_code, answer.location) == (303, "/users")
    assert "charlie is now operator." in alice.get("/users").text
    assert role_of("charlie") == (Role.OPERATOR, True)


@pytest.mark.parametrize("role", ["", "owner", "ADMIN", "admin "])
def test_unknown_role_is_refused(browser: Any, user: Any, role: str) -> None:
    answer = browser("alice").post(f"/users/{user('charlie').id}/role", {"role": role})
    assert answer.status_code == 422
    assert role_of("charlie") == (Role.VIEWER, True)


def test_disabled_user_cannot_sign_in_until_enabled(browser: Any, user: Any) -> None:
    alice, number = browser("alice"), user("bob").id
    assert alice.post(f"/users/{number}/disable").status_code == 303
    assert browser().sign_in("bob").status_code == 401
    assert "Enable" in alice.get("/users").text
    assert alice.post(f"/users/{number}/enable").status_code == 303
    assert browser().sign_in("bob").status_code == 303


def test_reset_password_replaces_the_old_one(browser: Any, user: Any) -> None:
    alice = browser("alice")
    assert alice.post(f"/users/{user('bob').id}/reset-password").status_code == 303
    password = shown_password(alice.get("/users"))
    assert browser().sign_in("bob").status_code == 401
    assert browser().sign_in("bob", password).status_code == 303


@pytest.mark.parametrize("act", ["role", "disable", "enable", "reset-password"])
@pytest.mark.parametrize("number", [999, 2**31, 2**63, 2**70])
def test_unknown_user_is_404(browser: Any, act: str, number: int) -> None:
    assert browser("alice").post(f"/users/{number}/{act}", {"role": "viewer"}).status_code == 404


@pytest.mark.parametrize(("act", "form"), [("disable", {}), ("role", {"role": "operator"})])
def test_last_active_admin_stays(browser: Any, user: Any, act: str, form: dict[str, str]) -> None:
    alice, number = browser("alice"), user("alice").id
    answer = alice.post(f"/users/{number}/{act}", form)
    assert answer.status_code == 409
    assert "last active admin" in answer.text
    assert active_admins() == ["alice"]
    assert alice.get("/users").status_code == 200


def test_disabled_admin_does_not_count_as_another_admin(browser: Any, user: Any) -> None:
    alice = browser("alice")
    alice.post(f"/users/{user('bob').id}/role", {"role": "admin"})
    alice.post(f"/users/{user('bob').id}/disable")
    assert alice.post(f"/users/{user('alice').id}/disable").status_code == 409
    # A disabled admin, on the other hand, may be demoted: nobody is lost by it.
    assert alice.post(f"/users/{user('bob').id}/role", {"role": "viewer"}).status_code == 303


def test_admin_steps_down_where_another_stays(browser: Any, user: Any) -> None:
    alice = browser("alice")
    alice.post(f"/users/{user('bob').id}/role", {"role": "admin"})
    assert alice.post(f"/users/{user('alice').id}/role", {"role": "viewer"}).status_code == 303
    assert active_admins() == ["bob"]
    assert alice.get("/users").status_code == 403


def test_two_admins_who_demote_each_other_at_once_leave_one_admin(browser: Any, user: Any) -> None:
    alice = browser("alice")
    alice.post(f"/users/{user('bob').id}/role", {"role": "admin"})
    bob = browser("bob")
    requests = [
        (one, f"/users/{user(other).id}/role", {"csrf_token": one.token(), "role": "viewer"})
        for one, other in ((alice, "bob"), (bob, "alice"))
    ]
    codes = at_once(
        *(lambda ask=ask: ask[0].client.post(ask[1], data=ask[2]).status_code for ask in requests)
    )
    # The loser comes too late for its own rights, or for the last admin.
    assert sorted(codes) in ([303, 403], [303, 409])
    assert len(active_admins()) == 1


@pytest.mark.parametrize("_again", range(5))
def test_two_acts_that_would_leave_no_admin_never_both_succeed(
    app: Flask, user: Any, _again: int
) -> None:
    alice, bob = user("alice"), user("bob")
    users.change_role(bob.id, "admin", actor=Actor(alice))
    session.remove()
    results = at_once(
        lambda: users.change_role(bob.id, "viewer", actor=Actor(alice)),
        lambda: users.set_active(alice.id, False, actor=Actor(bob)),
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "User"]
    assert len(active_admins()) == 1


def test_two_sign_ups_of_one_name_at_once_make_one_user(app: Flask) -> None:
    def create() -> str:
        try:
            return users.create_user("dora", "viewer", PASSWORD).username
        except users.Invalid as invalid:
            return invalid.errors["username"]

    assert sorted(at_once(create, create)) == ["There is already a user named dora.", "dora"]


def test_settings_row_is_made_with_the_user(browser: Any, user: Any) -> None:
    browser("alice").post("/users", {"username": "dora", "role": "viewer"})
    made = user("dora").settings
    assert (made.refresh_interval, made.theme, made.timezone) == (2, "auto", "UTC")


def test_disabling_twice_writes_one_entry_and_ends_every_session(browser: Any, user: Any) -> None:
    browser("bob")
    browser("bob")
    alice, number = browser("alice"), user("bob").id
    for _ in range(2):
        assert alice.post(f"/users/{number}/disable").status_code == 303
    assert session.query(LoginSession).filter_by(user_id=number).count() == 0
    assert session.query(AuditEntry).filter_by(action="user.disable").count() == 1


@pytest.fixture
def crowd(app: Flask) -> None:
    """120 more users, user000 to user119."""
    session.add_all(
        User(
            username=f"user{number:03}",
            role=Role.VIEWER,
            password_hash="",
            settings=UserSettings(),
        )
        for number in range(120)
    )
    session.commit()


def names(page: Any) -> list[str]:
    found = re.findall(r'<div class="user-name">\s*([\w.%-]+)', page.text)
    return list(found)


@pytest.mark.usefixtures("crowd")
def test_users_are_paged_by_name(browser: Any) -> None:
    alice = browser("alice")
    pages = [alice.get(f"/users?page={number}") for number in (1, 2, 3)]
    shown = [name for page in pages for name in names(page)]
    assert [len(names(page)) for page in pages] == [50, 50, 24]
    assert shown == sorted(shown)
    assert "124 users" in pages[0].text
    assert "Page 2 of 3" in pages[1].text
    assert alice.get("/users?page=0").status_code == 404
    assert alice.get("/users?page=99").status_code == 200


@pytest.mark.usefixtures("crowd")
def test_users_are_searched_by_a_part_of_their_name(browser: Any) -> None:
    alice = browser("alice")
    assert names(alice.get("/users?q=BEL")) == ["bella"]
    assert names(alice.get("/users?q=user11")) == [f"user11{number}" for number in range(10)]
    second = alice.get("/users?q=user&page=2")
    assert len(names(second)) == 50
    assert "/users?page=3&amp;q=user" in second.text


@pytest.mark.parametrize("text", ["%", "_", "'", "<script>", "x" * 300])
def test_search_that_finds_nobody_says_so(browser: Any, text: str) -> None:
    page = browser("alice").get("/users", query_string={"q": text})
    assert page.status_code == 200
    assert names(page) == []
    assert "Show all users" in page.text
    assert "<script>" not in page.text.partition("<main")[2]


def test_page_tells_when_a_user_was_last_here(browser: Any) -> None:
    alice = browser("alice")
    page = alice.get("/users").text
    assert page.count("never signed in") == 3
    browser("bob")
    assert alice.get("/users").text.count("never signed in") == 2
