"""A cookie that somebody else has, or has planted, opens nothing once it should not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.users import PASSWORD

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
