"""Sessions live in the database: what signs in, for how long, and what ends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from portal import app as factory
from portal.db.clock import now
from portal.db.session import session
from portal.models import LoginSession
from portal.settings import Settings
from tests.support.applications import engine_of
from tests.support.sessions import change, cookie_of, is_open, row_of, token_of
from tests.support.users import PASSWORD


def test_database_holds_the_hash_of_the_token_alone(
    browser: Any, settings: Settings, user: Any
) -> None:
    bob = browser("bob")
    row = row_of(bob)
    assert row.user_id == user("bob").id
    files = [path for path in settings.data_dir.iterdir() if path.name.startswith("portal.sqlite")]
    stored = b"".join(path.read_bytes() for path in files)
    assert row.token_hash.encode() in stored
    assert token_of(bob).encode() not in stored
    assert PASSWORD.encode() not in stored


def test_session_knows_where_it_was_begun(browser: Any) -> None:
    bob = browser()
    bob.client.post(
        "/login",
        data={"csrf_token": bob.token(), "username": "bob", "password": PASSWORD},
        headers={"User-Agent": "Firefox " + "x" * 400},
    )
    row = row_of(bob)
    assert row.address == "127.0.0.1"
    assert row.user_agent.startswith("Firefox")
    assert len(row.user_agent) == 255


def test_session_ends_at_its_expiry(browser: Any) -> None:
    bob = browser("bob")
    left = row_of(bob).expires_at - now()
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    change(bob, expires_at=now() - timedelta(seconds=1))
    assert not is_open(bob)
    assert bob.get("/").location == "/login?next=/"


def test_remembered_session_lasts_14_days_and_its_cookie_too(browser: Any) -> None:
    bob = browser()
    bob.sign_in("bob", remember="y")
    left = row_of(bob).expires_at - now()
    assert timedelta(days=13, hours=23) < left <= timedelta(days=14)
    assert bob.client.get_cookie("portal").expires is not None
    assert browser("bob").client.get_cookie("portal").expires is None


def test_session_that_is_idle_for_8_hours_ends_and_a_remembered_one_stays(browser: Any) -> None:
    bob, remembered = browser("bob"), browser()
    remembered.sign_in("bob", remember="y")
    for one in (bob, remembered):
        change(one, last_seen_at=now() - timedelta(hours=8, minutes=1))
    assert not is_open(bob)
    assert is_open(remembered)


def test_person_on_a_page_keeps_the_session_and_its_polling_does_not(browser: Any) -> None:
    bob = browser("bob")
    long_ago = now() - timedelta(hours=7)
    change(bob, last_seen_at=long_ago)
    for poll in ("/api/dashboard/stats", "/api/session", "/api/connection"):
        assert bob.get(poll).status_code == 200
    assert row_of(bob).last_seen_at == long_ago
    bob.get("/jobs")
    assert now() - row_of(bob).last_seen_at < timedelta(minutes=1)


def test_presence_is_written_once_a_minute_at_most(browser: Any) -> None:
    bob = browser("bob")
    a_moment_ago = now() - timedelta(seconds=30)
    change(bob, last_seen_at=a_moment_ago)
    bob.get("/jobs")
    assert row_of(bob).last_seen_at == a_moment_ago


def test_every_sign_in_makes_a_new_token_and_ends_the_one_it_replaces(browser: Any) -> None:
    bob = browser("bob")
    old = cookie_of(bob)
    assert bob.sign_in("bob").status_code == 303
    assert cookie_of(bob) != old
    thief = browser()
    thief.client.set_cookie("portal", old)
    assert not is_open(thief)
    assert is_open(bob)


def test_nothing_from_before_the_sign_in_survives_it(browser: Any) -> None:
    bob = browser()
    bob.get("/login")
    with bob.client.session_transaction() as before:
        before["planted"] = "by somebody else"
    bob.sign_in("bob")
    with bob.client.session_transaction() as after:
        assert "planted" not in after


def test_refused_sign_in_leaves_the_session_as_it_was(browser: Any) -> None:
    bob = browser("bob")
    assert bob.sign_in("alice", "wrong").status_code == 401
    assert bob.get("/api/session").json["user"] == "bob"


def test_sign_out_ends_this_session_alone(browser: Any) -> None:
    here, there = browser("bob"), browser("bob")
    old = cookie_of(here)
    answer = here.post("/logout")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert '"cache"' in answer.headers["Clear-Site-Data"]
    here.client.set_cookie("portal", old)
    assert not is_open(here)
    assert is_open(there)


def test_disabling_ends_every_session_and_enabling_revives_none(browser: Any, user: Any) -> None:
    bobs = [browser("bob"), browser("bob")]
    alice, number = browser("alice"), user("bob").id
    alice.post(f"/users/{number}/disable")
    assert [is_open(bob) for bob in bobs] == [False, False]
    alice.post(f"/users/{number}/enable")
    assert [is_open(bob) for bob in bobs] == [False, False]


def test_role_change_keeps_the_session_with_the_new_role(browser: Any, user: Any) -> None:
    charlie = browser("charlie")
    browser("alice").post(f"/users/{user('charlie').id}/role", {"role": "operator"})
    assert charlie.get("/api/session").json["role"] == "operator"
    assert charlie.get("/jobs/new").status_code == 200


def test_own_password_change_ends_the_other_sessions(browser: Any) -> None:
    here, there = browser("bob"), browser("bob")
    here.post(
        "/settings/password", {"current_password": PASSWORD, "new_password": "another good one"}
    )
    assert is_open(here)
    assert not is_open(there)


def test_password_reset_ends_every_session_of_that_user_alone(browser: Any, user: Any) -> None:
    bob, bella = browser("bob"), browser("bella")
    browser("alice").post(f"/users/{user('bob').id}/reset-password")
    assert not is_open(bob)
    assert is_open(bella)


def test_expired_rows_are_swept_out_by_the_next_sign_in(browser: Any, user: Any) -> None:
    change(browser("bob"), expires_at=now() - timedelta(days=1))
    browser("bella")
    assert session.query(LoginSession).filter_by(user_id=user("bob").id).count() == 0


@pytest.mark.parametrize("cookie", ["", "x", "e30.x.y", "A" * 4000, "\x00"])
def test_cookie_that_we_did_not_sign_opens_nothing(browser: Any, cookie: str) -> None:
    nobody = browser()
    nobody.client.set_cookie("portal", cookie)
    assert not is_open(nobody)


def test_cookie_that_another_key_signed_opens_nothing(browser: Any, app: Flask) -> None:
    bob = browser("bob")
    token = token_of(bob)
    other = Flask("other")
    other.secret_key = "another key"
    serializer = other.session_interface.get_signing_serializer(other)  # type: ignore[attr-defined]
    forged = serializer.dumps({"_user_id": token, "_fresh": True})
    thief = browser()
    thief.client.set_cookie("portal", forged)
    assert not is_open(thief)
    assert is_open(bob)


def test_user_id_in_place_of_the_token_opens_nothing(browser: Any, user: Any) -> None:
    nobody = browser()
    with nobody.client.session_transaction() as planted:
        planted["_user_id"] = str(user("alice").id)
    assert not is_open(nobody)


def test_cookie_is_out_of_reach_for_scripts_and_other_sites(browser: Any) -> None:
    nobody = browser()
    answer = nobody.sign_in("bob")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "remember_token" not in str(answer.headers)


def test_secure_cookies_go_over_https_alone_and_bear_the_host_prefix(settings: Settings) -> None:
    settings.prepare()
    app = factory.build_app(settings.model_copy(update={"secure_cookies": True}))
    assert app.config["SESSION_COOKIE_SECURE"] is True
    assert app.config["SESSION_COOKIE_NAME"] == "__Host-portal"
    engine_of(app).dispose()


def test_who_am_i_is_for_the_signed_in(browser: Any) -> None:
    answer = browser("charlie").get("/api/session")
    assert {"user": "charlie", "role": "viewer"}.items() <= answer.json.items()
    refused = browser().get("/api/session")
    assert (refused.status_code, refused.headers["HX-Redirect"]) == (401, "/login")
