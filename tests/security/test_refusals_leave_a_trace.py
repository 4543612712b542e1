"""What is refused is counted, logged once a minute, and in the audit log where it is about an
account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update
from structlog import make_filtering_bound_logger, wrap_logger
from structlog.testing import LogCapture

from portal.db.clock import now
from portal.db.session import session
from portal.models import ApiToken, AuditEntry, User
from portal.realtime import cache
from portal.services import refusals
from portal.services.accounts import api_tokens
from portal.services.actor import Actor
from tests.support.client import Browser
from tests.support.program import Program
from tests.support.users import PASSWORD

OFFICE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def entries(action: str = "request") -> list[tuple[str, str, str]]:
    session.remove()
    found = session.query(AuditEntry).filter_by(action=action, outcome="refused")
    return [(one.actor, one.target, one.detail) for one in found.order_by(AuditEntry.id)]


def counted(browser: Any) -> dict[str, int]:
    text = browser().get("/metrics").text
    lines = re.findall(r'portal_refusals_total\{process="0",reason="(.+?)"\} (\d+)', text)
    return {reason: int(number) for reason, number in lines}


@contextmanager
def capture_logs() -> Iterator[list[Any]]:
    """What refusals log. Structlog's own helper hears nothing of loggers that were used before."""
    capture = LogCapture()
    with pytest.MonkeyPatch.context() as patch:
        wrapper = make_filtering_bound_logger(0)
        patch.setattr(refusals, "log", wrap_logger(None, [capture], wrapper))
        yield capture.entries


def lines(logged: Any) -> list[tuple[str, str, str]]:
    refused = [line for line in logged if line["event"] == "request refused"]
    return [(line["reason"], line["user"], line["address"]) for line in refused]


def ask_from(browser: Browser, address: str, text: str) -> int:
    headers = {"Authorization": f"Bearer {text}"}
    environ = {"REMOTE_ADDR": address}
    return int(browser.get("/api/v1/jobs", headers=headers, environ_base=environ).status_code)


# --- 403 ------------------------------------------------------------------------------------------


def test_forbidden_acts_are_counted_logged_once_and_audited(browser: Any) -> None:
    bob = browser("bob")
    with capture_logs() as logged:
        answers = [bob.get("/users").status_code for _ in range(20)]
    assert answers == [403] * 20
    assert lines(logged) == [("forbidden", "bob", "127.0.0.1")]
    assert entries() == [("bob", "GET /users", "forbidden")]
    assert counted(browser) == {"forbidden": 20}


def test_jobs_of_others_and_changes_by_the_api_are_noted_too(
    browser: Any, new_job: Callable[..., int]
) -> None:
    job, bella, charlie = new_job("alice"), browser("bella"), browser("charlie")
    assert bella.post(f"/jobs/{job}/cancel").status_code == 403
    assert charlie.post("/jobs", {}).status_code == 403
    assert entries() == [
        ("bella", f"POST /jobs/{job}/cancel", "forbidden"),
        ("charlie", "POST /jobs", "forbidden"),
    ]


def test_a_minute_later_it_is_logged_again(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = browser("bob")
    begun = cache.time.monotonic()
    with capture_logs() as logged:
        bob.get("/users")
        monkeypatch.setattr(cache.time, "monotonic", lambda: begun + 120)
        bob.get("/users")
        bob.get("/audit")
    assert lines(logged) == [("forbidden", "bob", "127.0.0.1")] * 2
    assert [target for _, target, _ in entries()] == ["GET /users"] * 2


def test_refusal_is_answered_though_nothing_can_be_written(
    browser: Any, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = browser("bob")
    session.connection().exec_driver_sql(
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'no room'); END"
    )
    session.commit()
    assert bob.get("/users").status_code == 403
    assert entries() == []


# --- tokens ---------------------------------------------------------------------------------------


def test_unknown_tokens_are_logged_once_for_each_address(browser: Any) -> None:
    nobody = browser()
    with capture_logs() as logged:
        for number in range(5):
            assert ask_from(nobody, OFFICE, f"tp_{number}") == 401
        assert ask_from(nobody, ELSEWHERE, "tp_x") == 401
    expected = [("unknown token", "", address) for address in (OFFICE, ELSEWHERE)]
    assert lines(logged) == expected
    assert counted(browser) == {"unknown token": 6}
    assert entries() == []


@pytest.mark.parametrize("end", ["expired", "disabled"])
def test_token_that_was_good_once_is_about_its_account(
    app: Flask, user: Callable[[str], User], end: str
) -> None:
    bob, life = user("bob"), now() + timedelta(days=1)
    with app.app_context():
        text = api_tokens.create("Script", "read", life, actor=Actor(bob))[1]
    if end == "expired":
        session.execute(update(ApiToken).values(expires_at=now() - timedelta(days=1)))
    else:
        session.execute(update(User).where(User.username == "bob").values(active=False))
    session.commit()
    session.remove()
    assert [Program(app, text).get("/jobs").status_code for _ in range(3)] == [401] * 3
    assert entries() == [("bob", "GET /api/v1/jobs", "unknown token")]


def test_token_itself_stands_in_no_line(browser: Any) -> None:
    with capture_logs() as logged:
        ask_from(browser(), OFFICE, "tp_secret")
    assert logged
    assert "tp_secret" not in str(logged)


# --- forms ----------------------------------------------------------------------------------------


def test_forms_without_our_token_are_counted_and_logged_once(browser: Any) -> None:
    bob = browser("bob")
    with capture_logs() as logged:
        for _ in range(3):
            refused = bob.client.post("/settings", data={"csrf_token": "forged"})
            assert refused.status_code == 400
    assert lines(logged) == [("forged form", "bob", "127.0.0.1")]
    assert entries() == [], "another site writes nothing"
    assert counted(browser) == {"forged form": 3}


def test_forms_of_another_site_are_noted_signed_in_or_out(browser: Any) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    with capture_logs() as logged:
        for one in (browser(), browser("bob")):
            for _ in range(3):
                assert one.client.post("/logout", headers=headers).status_code == 403
    reasons = ("other site", "", "127.0.0.1"), ("other site", "bob", "127.0.0.1")
    assert lines(logged) == list(reasons)
    assert entries() == []


def test_address_of_a_one_time_link_stands_in_no_line(browser: Any) -> None:
    with capture_logs() as logged:
        refused = browser().client.post("/password/the-secret", data={})
    assert refused.status_code == 400
    assert lines(logged) == [("forged form", "", "127.0.0.1")]
    assert "the-secret" not in str(logged)


# --- passwords ------------------------------------------------------------------------------------


def test_wrong_current_passwords_are_counted_and_logged_once(browser: Any) -> None:
    bob = browser("bob")
    form = {"current_password": "wrong", "new_password": "a good one that nobody has"}
    with capture_logs() as logged:
        for _ in range(3):
            assert bob.post("/settings/password", form).status_code == 422
    assert lines(logged) == [("wrong password", "bob", "127.0.0.1")]
    assert len(entries("re-authentication")) == 3
    assert entries() == []
    assert counted(browser) == {"wrong password": 3}


def test_wrong_sign_ins_are_counted_and_what_was_typed_is_not_logged(browser: Any) -> None:
    nobody = browser()
    with capture_logs() as logged:
        for _ in range(3):
            assert nobody.sign_in(PASSWORD, "bob").status_code == 401
    assert lines(logged) == [("wrong sign-in", "", "127.0.0.1")]
    assert PASSWORD not in str(logged)
    assert counted(browser) == {"wrong sign-in": 3}


def test_wrong_codes_are_counted(browser: Any) -> None:
    bob = browser("bob")
    bob.post("/settings/second-factor/begin")
    form = {"code": "000000", "current_password": PASSWORD}
    assert bob.post("/settings/second-factor/enable", form).status_code == 422
    assert counted(browser) == {"wrong code": 1}
