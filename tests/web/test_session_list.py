"""The page of one's sessions, and for admins of anyone's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from portal.db.clock import now
from portal.db.session import session
from portal.models import AuditEntry, LoginSession
from portal.services.accounts import principals
from portal.services.accounts.session_policy import SessionPolicy
from portal.web.user_agents import browser_name
from tests.support.applications import configure
from tests.support.sessions import change, is_open, row_of
from tests.support.users import PASSWORD

AGENTS = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0": "Firefox on Linux",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/147.0.0.0 Safari/537.36": "Chrome on Windows",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/147.0.0.0 Safari/537.36 Edg/147.0.0.0": "Edge on Windows",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/26.0 Safari/605.1.15": "Safari on macOS",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) CriOS/147.0 Mobile/15E148 Safari/604.1": "Chrome on iPhone",
    "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 "
    "Mobile Safari/537.36": "Chrome on Android",
    "curl/8.11.0": "curl",
    "": "Unknown browser",
    "<script>alert(1)</script>": "Unknown browser",
}


@pytest.mark.parametrize(("agent", "name"), AGENTS.items())
def test_browser_has_a_readable_name(agent: str, name: str) -> None:
    assert browser_name(agent) == name


@pytest.fixture
def phone(browser: Any) -> Any:
    """bob's, from another address."""
    opened = browser()
    form = {"csrf_token": opened.token(), "username": "bob", "password": PASSWORD}
    agent = list(AGENTS)[4]
    opened.client.post(
        "/login",
        data=form,
        headers={"User-Agent": agent},
        environ_base={"REMOTE_ADDR": "192.0.2.9"},
    )
    return opened


def entries(action: str) -> list[tuple[str, str, str]]:
    session.rollback()
    found = session.query(AuditEntry).filter_by(action=action)
    return [(entry.actor, entry.target, entry.detail) for entry in found]


def test_list_shows_browser_address_and_which_one_this_is(browser: Any, phone: Any) -> None:
    bob = browser("bob")
    browser("bella")
    page = bob.get("/sessions").text
    assert "Chrome on iPhone" in page
    assert "192.0.2.9" in page
    assert page.count("this browser") == 1
    assert page.count('class="session"') == 2
    assert "/users" not in page


def test_list_leaves_out_what_no_longer_opens_the_door(browser: Any, phone: Any) -> None:
    bob = browser("bob")
    change(phone, last_seen_at=now() - timedelta(hours=9))
    assert "Chrome on iPhone" not in bob.get("/sessions").text


def test_one_session_is_ended_and_the_others_stay(browser: Any, phone: Any) -> None:
    here, third = browser("bob"), browser("bob")
    answer = here.post(f"/sessions/{row_of(phone).id}/end")
    assert (answer.status_code, answer.location) == (303, "/sessions")
    assert [is_open(one) for one in (here, phone, third)] == [True, False, True]
    assert entries("session.end") == [("bob", "bob", "")]


def test_all_others_are_ended_at_once(browser: Any, phone: Any) -> None:
    here, bella = browser("bob"), browser("bella")
    browser("bob")
    assert here.post("/sessions/end-others").status_code == 303
    assert "2 sessions signed out." in here.get("/sessions").text
    assert [is_open(one) for one in (here, phone, bella)] == [True, False, True]
    assert entries("session.end-all") == [("bob", "bob", "2 sessions")]


def test_nothing_to_end_writes_no_entry(browser: Any) -> None:
    bob = browser("bob")
    assert "Sign out everywhere else" not in bob.get("/sessions").text
    assert bob.post("/sessions/end-others").status_code == 303
    assert entries("session.end-all") == []


@pytest.mark.parametrize("name", ["bella", "alice"])
def test_anothers_session_is_none_of_ones_business(browser: Any, phone: Any, name: str) -> None:
    # An admin ends it on the page of its user, where the trail says so.
    someone, number = browser(name), row_of(phone).id
    assert someone.post(f"/sessions/{number}/end").status_code == 404
    assert is_open(phone)


@pytest.mark.parametrize("number", [0, 999, 2**31, 2**63, 2**70])
def test_session_that_is_none_is_404(browser: Any, user: Any, number: int) -> None:
    assert browser("bob").post(f"/sessions/{number}/end").status_code == 404
    alice = browser("alice")
    assert alice.post(f"/users/{user('bob').id}/sessions/{number}/end").status_code == 404


def test_admin_sees_and_ends_anyones_sessions(browser: Any, user: Any, phone: Any) -> None:
    alice, bob, number = browser("alice"), browser("bob"), user("bob").id
    page = alice.get(f"/users/{number}/sessions").text
    assert "Sessions of bob" in page
    assert "Chrome on iPhone" in page
    assert "this browser" not in page

    ended = row_of(phone).id
    answer = alice.post(f"/users/{number}/sessions/{ended}/end")
    assert answer.location == f"/users/{number}/sessions"
    assert [is_open(phone), is_open(bob)] == [False, True]
    alice.post(f"/users/{number}/sessions/end-others")
    assert [is_open(bob), is_open(alice)] == [False, True]
    assert entries("session.end") == [("alice", "bob", "")]
    assert entries("session.end-all") == [("alice", "bob", "1 session")]
    assert "Not signed in anywhere." in alice.get(f"/users/{number}/sessions").text


def test_session_of_one_user_is_not_ended_by_the_page_of_another(
    browser: Any, user: Any, phone: Any
) -> None:
    number = row_of(phone).id
    assert (
        browser("alice").post(f"/users/{user('bella').id}/sessions/{number}/end").status_code == 404
    )
    assert is_open(phone)


def test_admin_who_ends_all_of_their_own_keeps_the_one_that_asks(browser: Any, user: Any) -> None:
    here, there = browser("alice"), browser("alice")
    here.post(f"/users/{user('alice').id}/sessions/end-others")
    assert [is_open(here), is_open(there)] == [True, False]


def test_region_that_is_drawn_again_is_no_visit(browser: Any) -> None:
    bob = browser("bob")
    long_ago = now() - timedelta(hours=7)
    change(bob, last_seen_at=long_ago)
    assert bob.get("/jobs", headers={"HX-Request": "true"}).status_code == 200
    assert row_of(bob).last_seen_at == long_ago
    # What a person clicks is sent by HTMX too.
    bob.post("/jobs/999/cancel", headers={"HX-Request": "true"})
    assert row_of(bob).last_seen_at > long_ago


def test_wall_display_of_a_viewer_may_be_idle_where_the_settings_say_so(
    app: Flask, browser: Any
) -> None:
    charlie, bob = browser("charlie"), browser("bob")
    for one in (charlie, bob):
        change(one, last_seen_at=now() - timedelta(hours=20))
    assert [is_open(charlie), is_open(bob)] == [False, False]
    configure(app, session_policy=SessionPolicy(viewers_idle=True))
    assert [is_open(charlie), is_open(bob)] == [True, False]
    assert principals.find(str(charlie_token(charlie))) is not None
    change(charlie, expires_at=now() - timedelta(seconds=1))
    assert not is_open(charlie)


def charlie_token(browser: Any) -> Any:
    with browser.client.session_transaction() as cookie:
        return cookie["_user_id"]


def test_lives_come_from_the_settings(app: Flask, browser: Any) -> None:
    policy = SessionPolicy(
        idle=timedelta(minutes=30), longest=timedelta(hours=12), remembered=timedelta(days=2)
    )
    configure(app, session_policy=policy)
    bob, remembered = browser("bob"), browser()
    remembered.sign_in("bob", remember="y")
    assert timedelta(hours=11) < row_of(bob).expires_at - now() <= timedelta(hours=12)
    assert timedelta(days=1) < row_of(remembered).expires_at - now() <= timedelta(days=2)
    change(bob, last_seen_at=now() - timedelta(minutes=31))
    assert not is_open(bob)


def test_session_that_ends_twice_at_once_is_ended_once(browser: Any, phone: Any) -> None:
    bob, number = browser("bob"), row_of(phone).id
    codes = [bob.post(f"/sessions/{number}/end").status_code for _ in range(2)]
    assert codes == [303, 404]
    assert session.query(LoginSession).filter_by(id=number).count() == 0
    assert len(entries("session.end")) == 1
