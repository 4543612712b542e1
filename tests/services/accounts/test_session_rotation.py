"""A change of role gives each session another token, and signs nobody out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portal.db.clock import now
from portal.db.session import session
from portal.models import LoginSession
from portal.services.accounts import principals
from tests.support.sessions import cookie_of, is_open, token_of


def promote(browser: Any, user: Any, role: str = "operator") -> None:
    number = user("charlie").id
    assert browser("alice").post(f"/users/{number}/role", {"role": role}).status_code == 303


def row(user: Any) -> LoginSession:
    number = user("charlie").id  # which lets go of the session that was read by
    return session.query(LoginSession).filter_by(user_id=number).one()


def with_cookie(browser: Any, cookie: str) -> Any:
    """Another browser with a copy of it."""
    other = browser()
    other.client.set_cookie("portal", cookie)
    return other


def later(user: Any, **columns: timedelta) -> None:
    found = row(user)
    for name, by in columns.items():
        setattr(found, name, getattr(found, name) - by)
    session.commit()


@pytest.fixture
def charlie(browser: Any) -> Any:
    return browser("charlie")


def test_next_page_brings_another_token_of_the_same_session(
    browser: Any, user: Any, charlie: Any
) -> None:
    before, number = token_of(charlie), row(user).id
    promote(browser, user)
    assert charlie.get("/jobs/new").status_code == 200
    assert token_of(charlie) != before
    assert row(user).id == number
    assert charlie.get("/").status_code == 200


def test_no_token_is_replaced_without_a_change_of_role(browser: Any, charlie: Any) -> None:
    before = token_of(charlie)
    for path in ("/", "/jobs", "/settings"):
        charlie.get(path)
    assert token_of(charlie) == before


def test_old_token_dies_soon_after_the_new_one_was_seen(
    browser: Any, user: Any, charlie: Any
) -> None:
    old = cookie_of(charlie)
    promote(browser, user)
    charlie.get("/")
    charlie.get("/")
    thief = with_cookie(browser, old)
    assert is_open(thief), "what was under way with the old token is answered"
    later(user, previous_until=timedelta(seconds=31))
    assert not is_open(thief)
    assert is_open(charlie)


def test_old_token_is_good_until_the_new_one_was_seen(
    browser: Any, user: Any, charlie: Any
) -> None:
    old = cookie_of(charlie)
    promote(browser, user)
    charlie.get("/")  # and the answer is lost
    later(user, rotated_at=timedelta(hours=1))
    again = with_cookie(browser, old)
    assert is_open(again)
    handed_out = {token_of(charlie), token_of(again)}
    again.get("/")
    assert token_of(again) not in handed_out, "it is handed out once more"
    assert is_open(again)
    assert not is_open(charlie), "the lost one opens nothing"


def test_two_tabs_that_ask_at_once_both_stay_signed_in(
    browser: Any, user: Any, charlie: Any
) -> None:
    other_tab = with_cookie(browser, cookie_of(charlie))
    promote(browser, user)
    assert charlie.get("/").status_code == 200
    before = token_of(other_tab)
    assert other_tab.get("/jobs").status_code == 200
    # Whichever answer comes last, the browser is left with a token that counts.
    assert token_of(other_tab) == before
    assert is_open(other_tab)
    assert is_open(charlie)


def test_form_of_a_page_from_before_the_change_still_counts(
    browser: Any, user: Any, charlie: Any
) -> None:
    form = {"csrf_token": charlie.token(), "theme": "dark"}
    promote(browser, user)
    charlie.get("/")
    assert charlie.client.post("/settings", data=form).status_code == 303


def test_polls_bring_no_token(browser: Any, user: Any, charlie: Any) -> None:
    before = token_of(charlie)
    promote(browser, user)
    charlie.get("/api/session")
    charlie.get("/api/dashboard/stats")
    charlie.get("/jobs", headers={"HX-Request": "true"})
    assert token_of(charlie) == before


def test_poll_with_the_new_token_is_enough_to_end_the_old_one(
    browser: Any, user: Any, charlie: Any
) -> None:
    promote(browser, user)
    charlie.get("/")
    assert row(user).previous_until is None
    charlie.get("/api/session")
    found = row(user)
    assert found.previous_until is not None
    assert found.previous_until - now() <= timedelta(seconds=30)
    assert found.rotation_due_at is None


def test_second_change_of_role_brings_a_third_token(browser: Any, user: Any, charlie: Any) -> None:
    seen = {token_of(charlie)}
    for role in ("operator", "admin", "viewer"):
        promote(browser, user, role)
        charlie.get("/")
        seen.add(token_of(charlie))
    assert len(seen) == 4
    assert is_open(charlie)


def test_remembered_session_stays_remembered(browser: Any, user: Any) -> None:
    charlie = browser()
    charlie.sign_in("charlie", remember="y")
    expires = row(user).expires_at
    promote(browser, user)
    charlie.get("/")
    assert charlie.client.get_cookie("portal").expires is not None
    assert row(user).expires_at == expires


def test_socket_comes_back_with_either_token(browser: Any, user: Any, charlie: Any) -> None:
    old = token_of(charlie)
    promote(browser, user)
    charlie.get("/")
    for token in (old, token_of(charlie)):
        caller = principals.find(token)
        assert caller is not None
        assert caller.role == "operator"
    charlie.get("/")
    later(user, previous_until=timedelta(seconds=31))
    assert principals.find(old) is None
    assert principals.find(token_of(charlie)) is not None


def test_sign_out_ends_both_tokens(browser: Any, user: Any, charlie: Any) -> None:
    old = cookie_of(charlie)
    promote(browser, user)
    charlie.get("/")
    new = cookie_of(charlie)
    charlie.post("/logout")
    assert not is_open(with_cookie(browser, old))
    assert not is_open(with_cookie(browser, new))
