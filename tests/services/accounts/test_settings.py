"""Each user's own settings: defaults, changes, refusals, and when they are in force."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from portal.db.session import session
from portal.models import AuditEntry, UserSettings
from tests.support.users import PASSWORD

DEFAULTS = {"refresh_interval": 2, "theme": "auto", "timezone": "UTC", "notifications": "off"}


def stored(user_id: int) -> dict[str, Any]:
    session.rollback()
    row = session.get_one(UserSettings, user_id)
    return {name: getattr(row, name) for name in DEFAULTS}


def test_settings_begin_with_the_defaults(browser: Any, user: Any) -> None:
    assert stored(user("bob").id) == DEFAULTS
    page = browser("bob").get("/settings").text
    assert 'value="2"' in page
    assert '<option selected value="auto">' in page
    assert '<option selected value="UTC">' in page


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        ("refresh_interval", "5", 5),
        ("refresh_interval", "1", 1),
        ("refresh_interval", "60", 60),
        ("theme", "dark", "dark"),
        ("timezone", "Europe/Berlin", "Europe/Berlin"),
        ("notifications", "on", "on"),
    ],
)
def test_field_that_is_left_out_keeps_its_value(
    browser: Any, user: Any, name: str, typed: str, kept: object
) -> None:
    bob = browser("bob")
    bob.post("/settings", {"refresh_interval": "7", "theme": "light", "timezone": "Asia/Tokyo"})
    before = stored(user("bob").id)
    answer = bob.post("/settings", {name: typed})
    assert (answer.status_code, answer.location) == (303, "/settings")
    assert stored(user("bob").id) == {**before, name: kept}


def test_empty_form_changes_nothing(browser: Any, user: Any) -> None:
    assert browser("bob").post("/settings").status_code == 303
    assert stored(user("bob").id) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        *(("refresh_interval", value) for value in ("0", "61", "-1", "2.5", "", "two", "9" * 30)),
        *(("theme", value) for value in ("", "Dark", "blue", "<script>")),
        *(("timezone", value) for value in ("", "Mars/Base", "../../etc/passwd", "utc ")),
        ("notifications", "maybe"),
    ],
)
def test_wrong_field_is_422_beside_it_and_nothing_is_saved(
    browser: Any, user: Any, name: str, typed: str
) -> None:
    right = {"theme": "dark"} if name != "theme" else {"refresh_interval": "9"}
    answer = browser("bob").post("/settings", {name: typed, **right})
    assert answer.status_code == 422
    assert f'id="{name}-error-1"' in answer.text
    assert "<script>" not in answer.text
    assert stored(user("bob").id) == DEFAULTS


def test_every_wrong_field_is_said_at_once_and_what_was_typed_stays(browser: Any) -> None:
    form = {"refresh_interval": "99", "theme": "blue", "timezone": "Nowhere"}
    page = browser("bob").post("/settings", form).text
    assert all(f'id="{name}-error-1"' in page for name in form)
    assert 'value="99"' in page


def test_refresh_interval_is_in_force_at_the_next_page_load(browser: Any) -> None:
    bob = browser("bob")
    assert 'hx-trigger="every 2s,' in bob.get("/").text
    bob.post("/settings", {"refresh_interval": "5"})
    assert 'hx-trigger="every 5s,' in bob.get("/").text
    assert 'hx-trigger="every 2s,' in browser("charlie").get("/").text


def test_theme_is_in_force_at_the_next_page_load(browser: Any) -> None:
    bob = browser("bob")
    bob.post("/settings", {"theme": "dark"})
    assert 'data-theme="dark" data-bs-theme="dark"' in bob.get("/").text


def test_times_are_shown_in_the_zone_of_the_reader(browser: Any) -> None:
    alice = browser("alice")
    session.add(
        AuditEntry(id=999, hash="", action="test", at=datetime(2026, 1, 1, 20, 0, tzinfo=UTC))
    )
    session.commit()
    assert "1 Jan 2026, 20:00:00" in alice.get("/audit").text
    alice.post("/settings", {"timezone": "Asia/Kolkata"})
    assert "2 Jan 2026, 01:30:00" in alice.get("/audit").text


def test_own_password_is_changed_with_the_current_one(browser: Any) -> None:
    bob = browser("bob")
    form = {"current_password": PASSWORD, "new_password": "another good one"}
    assert bob.post("/settings/password", form).status_code == 303
    assert bob.get("/").status_code == 200
    assert browser().sign_in("bob").status_code == 401
    assert browser().sign_in("bob", "another good one").status_code == 303


@pytest.mark.parametrize(
    ("current", "new", "words"),
    [
        ("wrong", "another good one", ["This is not your password."]),
        ("", "another good one", ["Enter your password."]),
        (PASSWORD, "x7!qz", ["Use at least 12 characters"]),
        (PASSWORD, "qwertyuiop", ["one of the most common passwords"]),
        (PASSWORD, "aaaaaaaaaaaaaaaa", ["This is too easy to guess."]),
        (PASSWORD, "x" * 1025, ["Use at most 1024 characters."]),
        ("wrong", "x7!qz", ["This is not your password."]),
    ],
)
def test_refused_password_change_says_why_and_keeps_the_old(
    browser: Any, app: Flask, current: str, new: str, words: list[str]
) -> None:
    form = {"current_password": current, "new_password": new}
    answer = browser("bob").post("/settings/password", form)
    assert answer.status_code == 422
    assert all(sentence in answer.text for sentence in words)
    assert new not in answer.text
    assert browser().sign_in("bob").status_code == 303
