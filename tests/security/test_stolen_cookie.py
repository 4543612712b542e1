"""A cookie that somebody else has, or has planted, opens nothing once it should not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from portal.services.accounts import users
from tests.support.users import PASSWORD

NEW = "a good one that nobody has"
Act = Callable[[Any, Any, int], None]
ENDS: dict[str, Act] = {
    "the sign-out": lambda bob, _alice, _number: bob.post("/logout"),
    "a disabling": lambda _bob, alice, number: alice.post(f"/users/{number}/disable"),
    "a disabling and enabling": lambda _bob, alice, number: [
        alice.post(f"/users/{number}/{verb}") for verb in ("disable", "enable")
    ],
    "a sign-in in the same browser": lambda bob, _alice, _number: bob.sign_in("charlie"),
    "the end of the other sessions": lambda bob, _alice, _number: other_browser(bob).post(
        "/sessions/end-others"
    ),
    "a new password in this browser": lambda bob, _alice, _number: bob.post(
        "/settings/password", {"current_password": PASSWORD, "new_password": NEW}
    ),
    "a random password": lambda _bob, alice, number: alice.post(f"/users/{number}/reset-password"),
    "a new password": lambda bob, _alice, _number: other_browser(bob).post(
        "/settings/password",
        {"current_password": PASSWORD, "new_password": "a new one, and long enough"},
    ),
}


def other_browser(bob: Any) -> Any:
    other = type(bob)(bob.app)
    assert other.sign_in("bob").status_code == 303
    return other


def opens(browser: Any, cookie: str) -> list[int]:
    thief = browser()
    thief.client.set_cookie("portal", cookie)
    paths = ("/", "/jobs", "/settings", "/api/session", "/api/dashboard/stats")
    return [thief.get(path).status_code for path in paths]


@pytest.mark.parametrize("end", ENDS)
def test_stolen_cookie_opens_nothing_after(browser: Any, user: Any, end: str) -> None:
    bob, alice = browser("bob"), browser("alice")
    stolen = bob.client.get_cookie("portal").value
    assert opens(browser, stolen) == [200] * 5, "as long as bob is signed in, a thief is bob"
    ENDS[end](bob, alice, user("bob").id)
    assert opens(browser, stolen) == [302, 302, 302, 401, 401]


def test_session_that_an_attacker_planted_is_not_the_one_after_the_sign_in(browser: Any) -> None:
    attacker = browser()
    attacker.get("/login")
    planted = attacker.client.get_cookie("portal").value
    victim = browser()
    victim.client.set_cookie("portal", planted)
    # The form of the planted session is still the victim's own: it signs them in.
    assert victim.sign_in("bob").status_code == 303
    assert victim.client.get_cookie("portal").value != planted
    assert opens(browser, planted) == [302, 302, 302, 401, 401]


def test_attackers_own_session_planted_on_a_victim_ends_with_their_sign_in(browser: Any) -> None:
    attacker = browser("charlie")
    planted = attacker.client.get_cookie("portal").value
    victim = browser()
    victim.client.set_cookie("portal", planted)
    victim.sign_in("bob")
    assert opens(browser, planted) == [302, 302, 302, 401, 401]
    assert victim.get("/api/session").json["user"] == "bob"


def test_cookie_holds_nothing_but_a_token(browser: Any) -> None:
    bob = browser("bob")
    with bob.client.session_transaction() as cookie:
        assert set(cookie) <= {"_user_id", "_id", "_fresh", "csrf_token", "_permanent"}
        assert len(cookie["_user_id"]) >= 43
    assert PASSWORD not in str(bob.client.get_cookie("portal"))


def test_browser_that_changes_the_password_stays_signed_in_by_a_new_token(browser: Any) -> None:
    bob = browser("bob")
    before = bob.client.get_cookie("portal").value
    form = {"current_password": PASSWORD, "new_password": NEW}
    assert bob.post("/settings/password", form).status_code == 303
    after = bob.client.get_cookie("portal").value
    assert after != before
    assert opens(browser, after) == [200] * 5
    # Also where the thief asks first, and again and again.
    for _ in range(3):
        assert opens(browser, before) == [302, 302, 302, 401, 401]
    assert bob.get("/settings").status_code == 200


# --- tokens of programs -------------------------------------------------------------------------


def new_token(bob: Any) -> str:
    page = bob.post(
        "/tokens", {"name": "script", "scope": "read", "expires": "30"}, follow_redirects=True
    )
    found = re.search(r"tp_[\w-]+", page.text)
    assert found is not None, page.text
    return found[0]


def works(browser: Any, token: str) -> bool:
    answer = browser().get("/api/v1/jobs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 401)
    return bool(answer.status_code == 200)


@pytest.mark.parametrize("asked", [False, True])
def test_own_new_password_ends_tokens_if_that_is_asked(browser: Any, asked: bool) -> None:
    bob = browser("bob")
    token, of_another = new_token(bob), new_token(browser("bella"))
    form = {"current_password": PASSWORD, "new_password": NEW} | (
        {"end_tokens": "y"} if asked else {}
    )
    assert 'name="end_tokens"' in bob.get("/settings").text
    assert bob.post("/settings/password", form).status_code == 303
    assert works(browser, token) is not asked
    assert works(browser, of_another)


@pytest.mark.parametrize("how", ["a random password", "a link", "the command line", "an admin"])
def test_reset_ends_the_tokens_of_the_user(app: Flask, browser: Any, user: Any, how: str) -> None:
    bob, alice, number = browser("bob"), browser("alice"), user("bob").id
    token, of_another = new_token(bob), new_token(alice)
    assert works(browser, token)
    if how == "a random password":
        alice.post(f"/users/{number}/reset-password")
    elif how == "a link":
        page = alice.post(f"/users/{number}/password-link", follow_redirects=True).text
        link = re.search(r"/password/[\w.-]+", page)
        assert link is not None
        assert works(browser, token), "nobody has used the link yet"
        assert browser().post(link[0], {"new_password": NEW}).status_code == 303
    elif how == "the command line":
        with app.app_context():
            users.set_password_of("bob", NEW)
    else:
        assert "Revoke 1 API token" in alice.get("/users").text
        alice.post(f"/users/{number}/end-tokens")
        assert "of bob</span>" not in alice.get("/users").text.split("Revoke 1 API token")[-1][:60]
    assert not works(browser, token)
    assert works(browser, of_another)


def test_only_admins_end_the_tokens_of_others(browser: Any, user: Any) -> None:
    token = new_token(browser("bella"))
    assert browser("bob").post(f"/users/{user('bella').id}/end-tokens").status_code == 403
    assert works(browser, token)
