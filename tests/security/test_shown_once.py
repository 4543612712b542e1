"""Generated secrets are shown on one page, once, and lie in no cookie until then."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from portal.db.session import session
from portal.services.accounts import shown_once
from tests.support.client import Browser
from tests.support.second_factor import Device, shown_codes
from tests.support.users import PASSWORD

FACTOR = "/settings/second-factor"


def device_of(alice: Browser) -> Device:
    alice.post(f"{FACTOR}/begin")
    return Device(alice.get(FACTOR).text)


def turn_on(alice: Browser, _number: int) -> Any:
    form = {"code": device_of(alice).code(), "current_password": PASSWORD}
    return alice.post(f"{FACTOR}/enable", form)


def renew_codes(alice: Browser, _number: int) -> Any:
    device = device_of(alice)
    alice.post(f"{FACTOR}/enable", {"code": device.code(), "current_password": PASSWORD})
    assert shown_codes(alice.get(FACTOR).text)
    return alice.post(f"{FACTOR}/codes", {"code": device.code(), "current_password": PASSWORD})


SECRET_TEXT = r'class="alert alert-warning secret" role="status">[^<]*?([\w-]{20,}|http\S+)</div>'
SECRET_CODE = r"<li><code>([a-z2-7-]{29})</code></li>"
#: What asks for a secret, the page that shows it, and how it is found there.
ACTS: dict[str, tuple[Callable[[Browser, int], Any], str, str]] = {
    "an API token": (
        lambda alice, _: alice.post(
            "/tokens", {"name": "Script", "scope": "read", "expires": "30"}
        ),
        "/tokens",
        SECRET_TEXT,
    ),
    "the password of a new user": (
        lambda alice, _: alice.post(
            "/users", {"username": "dora", "role": "viewer", "by": "password"}
        ),
        "/users",
        SECRET_TEXT,
    ),
    "an invitation": (
        lambda alice, _: alice.post("/users", {"username": "dora", "role": "viewer", "by": "link"}),
        "/users",
        SECRET_TEXT,
    ),
    "a random password": (
        lambda alice, number: alice.post(f"/users/{number}/reset-password"),
        "/users",
        SECRET_TEXT,
    ),
    "a reset link": (
        lambda alice, number: alice.post(f"/users/{number}/password-link"),
        "/users",
        SECRET_TEXT,
    ),
    "recovery codes": (turn_on, FACTOR, SECRET_CODE),
    "new recovery codes": (renew_codes, FACTOR, SECRET_CODE),
}


def in_the_cookie(app: Flask, cookie: str) -> str:
    """What anybody can read who has it."""
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return json.dumps(serializer.loads(cookie))


def rows() -> str:
    session.rollback()
    return str(session.execute(text("SELECT * FROM sessions")).all())


@pytest.mark.parametrize("what", ACTS)
def test_secret_is_in_no_cookie_and_is_shown_once(
    app: Flask, browser: Any, user: Any, what: str
) -> None:
    act, page, pattern = ACTS[what]
    alice = browser("alice")
    assert act(alice, user("bob").id).status_code == 303
    carried = alice.client.get_cookie("portal").value
    at_rest = rows()

    shown = re.findall(pattern, alice.get(page).text)
    assert shown
    for secret in shown:
        assert secret not in in_the_cookie(app, carried)
        assert secret.replace("-", "") not in in_the_cookie(app, carried)
        assert secret not in at_rest
    assert re.findall(pattern, alice.get(page).text) == []
    copy = browser()
    copy.client.set_cookie("portal", carried)
    assert re.findall(pattern, copy.get(page).text) == [], "the cookie from before shows it again"
    assert "gAAAA" not in rows(), "nothing is left, not even encrypted"


def test_secret_is_shown_to_the_session_that_asked_alone(browser: Any) -> None:
    here, there = browser("alice"), browser("alice")
    here.post("/tokens", {"name": "Script", "scope": "read", "expires": "30"})
    assert "(shown only now)" not in there.get("/tokens").text
    assert "(shown only now)" in here.get("/tokens").text


def test_region_that_is_fetched_again_does_not_lose_it(browser: Any) -> None:
    alice = browser("alice")
    alice.post("/tokens", {"name": "Script", "scope": "read", "expires": "30"})
    assert "(shown only now)" not in alice.get("/tokens", headers={"HX-Request": "true"}).text
    assert "(shown only now)" not in alice.get("/users").text, "it belongs to another page"
    assert "(shown only now)" in alice.get("/tokens").text


def test_secret_that_nobody_looked_at_is_forgotten(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = browser("alice")
    alice.post("/tokens", {"name": "Script", "scope": "read", "expires": "30"})
    monkeypatch.setattr(shown_once, "_SECONDS", -1)
    assert "(shown only now)" not in alice.get("/tokens").text


def test_two_secrets_are_both_shown(browser: Any) -> None:
    alice = browser("alice")
    for name in ("One", "Two"):
        alice.post("/tokens", {"name": name, "scope": "read", "expires": "30"})
    page = alice.get("/tokens").text
    assert "Token One (shown only now): tp_" in page
    assert "Token Two (shown only now): tp_" in page
