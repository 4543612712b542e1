"""Signing in and out."""

from typing import Any

import pytest

from portal.web.routes.sign_in_flow import is_own_path


def test_right_password_opens_the_dashboard(browser: Any) -> None:
    bob = browser()
    answer = bob.sign_in("bob")
    assert (answer.status_code, answer.location) == (303, "/")
    assert "Dashboard" in bob.get("/").text


def test_wrong_password_opens_nothing(browser: Any) -> None:
    bob = browser()
    assert bob.sign_in("bob", "wrong").status_code == 401
    assert bob.get("/").location == "/login?next=/"


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\t/evil.example", "/\\evil", "javascript:x", "https:x", " //x"]
)
def test_next_never_leaves_this_site(target: str) -> None:
    assert not is_own_path(target)


def test_old_cookie_opens_nothing_after_sign_out(browser: Any) -> None:
    bob = browser("bob")
    cookie = bob.client.get_cookie("portal").value
    bob.post("/logout")
    thief = browser()
    thief.client.set_cookie("portal", cookie)
    assert thief.get("/jobs").status_code == 302
