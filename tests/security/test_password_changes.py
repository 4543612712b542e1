"""Passwords that are asked for again: no place lets anybody guess, or costs more than a try."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask

from portal.db.session import session
from portal.models import AuditEntry
from portal.services.accounts import passwords
from portal.services.accounts.sign_in_limits import ACCOUNT
from tests.support.client import Browser
from tests.support.users import PASSWORD

NEW = "a good one that nobody has"


def change(bob: Browser, current: str, new: str = NEW) -> Any:
    form = {"current_password": current, "new_password": new}
    return bob.post("/settings/password", form)


def enable(bob: Browser, current: str) -> Any:
    form = {"code": "000000", "current_password": current}
    return bob.post("/settings/second-factor/enable", form)


def refusals() -> list[AuditEntry]:
    session.rollback()
    of_passwords = session.query(AuditEntry).filter_by(action="re-authentication")
    return of_passwords.filter_by(outcome="refused").all()


def test_wrong_current_passwords_are_limited_and_noted(browser: Any) -> None:
    bob = browser("bob")
    for _ in range(ACCOUNT.free):
        assert change(bob, "wrong").status_code == 422
    for current in ("wrong", PASSWORD):
        refused = change(bob, current)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert "Too many attempts. Wait" in refused.text
    assert [(entry.actor, entry.detail) for entry in refusals()] == [
        ("bob", "wrong password")
    ] * ACCOUNT.free
    assert browser().sign_in("bob", NEW).status_code in (401, 429)


def test_tries_at_all_places_count_together(browser: Any) -> None:
    bob = browser("bob")
    for number in range(ACCOUNT.free):
        act = change if number % 2 else enable
        assert act(bob, "wrong").status_code == 422
    assert change(bob, "wrong").status_code == 429
    assert enable(bob, PASSWORD).status_code == 429


def test_right_password_in_between_clears_no_wrong_ones(browser: Any) -> None:
    bob = browser("bob")
    for _ in range(ACCOUNT.free):
        assert change(bob, "wrong").status_code == 422
        if _ < ACCOUNT.free - 1:
            assert change(bob, PASSWORD, "x7!qz").status_code == 422
    assert change(bob, "wrong").status_code == 429


def test_right_ones_are_not_limited(browser: Any) -> None:
    bob = browser("bob")
    for number in range(ACCOUNT.free + 3):
        before = PASSWORD if number == 0 else f"{NEW} {number - 1}"
        assert change(bob, before, f"{NEW} {number}").status_code == 303


def test_strength_is_estimated_only_for_who_knows_the_current_password(
    app: Flask, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = browser("bob")
    estimate = Mock(return_value=None)
    monkeypatch.setattr(passwords, "_weakness", estimate)
    for current, new in (("wrong", NEW), ("", NEW), ("wrong", "x" * 2000)):
        assert change(bob, current, new).status_code == 422
    assert not estimate.called
    assert change(bob, PASSWORD).status_code == 303
    assert estimate.called


def test_too_long_a_password_is_refused_before_anything_is_computed(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = browser("bob")
    verify = Mock(return_value=True)
    monkeypatch.setattr(passwords, "_verify", verify)
    assert change(bob, PASSWORD, "x" * 1025).status_code == 422
    assert not verify.called
