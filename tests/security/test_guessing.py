"""Guessing passwords: over one account, over many accounts, from many addresses, all at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from portal import app as factory
from portal.db.clock import now
from portal.db.session import session
from portal.models import AuditEntry, SignInLimit
from portal.services.accounts import sign_in_limits
from portal.services.accounts.sign_in_limits import ACCOUNT, ADDRESS, wait_after
from portal.settings import Settings
from tests.support.applications import engine_of
from tests.support.client import Browser, sign_in_at_once
from tests.support.users import PASSWORD

HOME, OFFICE, ATTACKER = "192.0.2.1", "192.0.2.2", "198.51.100.7"
Attempt = Callable[..., Any]
Shift = Callable[[float], None]


@pytest.fixture
def attempt(browser: Any) -> Attempt:
    """Tries to sign in from an address, each time with a browser that knows nothing."""
    form: dict[str, str] = {}
    nobody = browser()

    def ask(name: str, password: str = "wrong", address: str = ATTACKER, **headers: str) -> Any:
        if nobody.client.get_cookie("portal") is None or not form:
            form["csrf_token"] = nobody.token()
        answer = nobody.client.post(
            "/login",
            data={**form, "username": name, "password": password},
            environ_base={"REMOTE_ADDR": address},
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        if answer.status_code == 303:
            nobody.client.delete_cookie("portal")
        return answer

    return ask


@pytest.fixture(autouse=True)
def shift(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """Time stands still for all counts, and passes only by this."""
    moment = now()

    def let_pass(seconds: float) -> None:
        nonlocal moment
        moment += timedelta(seconds=seconds)

    monkeypatch.setattr(sign_in_limits, "now", lambda: moment)
    return let_pass


def statuses(attempt: Attempt, number: int, *what: str) -> list[int]:
    return [attempt(*what).status_code for _ in range(number)]


def test_five_tries_are_free_and_the_next_has_to_wait(attempt: Attempt) -> None:
    assert statuses(attempt, 5, "bob") == [401] * 5
    refused = attempt("bob")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert "Wait 1 s and try again." in refused.text
    assert 'name="password"' in refused.text


def test_wait_doubles_up_to_a_quarter_of_an_hour(attempt: Attempt, shift: Shift) -> None:
    waits = [wait_after(tries, 5) for tries in range(20)]
    assert waits[:9] == [0, 0, 0, 0, 0, 1, 2, 4, 8]
    assert waits[14:] == [512, 900, 900, 900, 900, 900]
    statuses(attempt, 5, "bob")
    heard = []
    for wait in (1, 2, 4, 8):
        heard.append(attempt("bob").headers["Retry-After"])
        shift(wait)
        assert attempt("bob").status_code == 401
    assert heard == ["1", "2", "4", "8"]


def test_waiting_is_made_no_longer_by_trying_meanwhile(attempt: Attempt, shift: Shift) -> None:
    statuses(attempt, 5, "bob")
    assert statuses(attempt, 20, "bob") == [429] * 20
    shift(1)
    assert attempt("bob").status_code == 401


def test_right_password_has_to_wait_too_and_then_begins_again(
    attempt: Attempt, shift: Shift
) -> None:
    statuses(attempt, 5, "bob")
    assert attempt("bob", PASSWORD).status_code == 429
    shift(1)
    assert attempt("bob", PASSWORD).status_code == 303
    assert statuses(attempt, 5, "bob") == [401] * 5


def test_account_under_attack_is_reached_from_an_address_it_is_known_at(
    attempt: Attempt, shift: Shift
) -> None:
    assert attempt("bob", PASSWORD, HOME).status_code == 303
    for _ in range(30):
        attempt("bob")
        shift(0.5)
    assert attempt("bob", PASSWORD, HOME).status_code == 303
    assert attempt("bob", PASSWORD, OFFICE).status_code == 429
    assert attempt("bella", PASSWORD, HOME).status_code == 303


def test_known_address_has_no_more_tries_than_another(attempt: Attempt) -> None:
    assert attempt("bob", PASSWORD, HOME).status_code == 303
    assert statuses(attempt, 6, "bob", "wrong", HOME) == [401] * 5 + [429]


def test_success_at_home_gives_the_attacker_no_new_tries(attempt: Attempt) -> None:
    assert attempt("bob", PASSWORD, HOME).status_code == 303
    assert statuses(attempt, 6, "bob") == [401] * 5 + [429]
    assert attempt("bob", PASSWORD, HOME).status_code == 303
    assert attempt("bob").status_code == 429


def test_one_password_over_many_accounts_is_limited_by_address(attempt: Attempt) -> None:
    codes = [attempt(f"user{number}", "Winter2026").status_code for number in range(35)]
    assert codes == [401] * ADDRESS.free + [429] * 5
    assert attempt("bob", PASSWORD).status_code == 429
    assert attempt("bob", PASSWORD, HOME).status_code == 303


def test_attackers_own_account_clears_nothing_at_their_address(attempt: Attempt) -> None:
    answers = []
    for number in range(45):
        answers.append(attempt(f"user{number}").status_code)
        attempt("charlie", PASSWORD)
    assert answers[-1] == 429
    assert answers.count(401) <= ADDRESS.free + 1


def test_many_addresses_share_the_tries_of_an_account(attempt: Attempt) -> None:
    codes = [attempt("bob", "wrong", f"203.0.113.{number}").status_code for number in range(8)]
    assert codes == [401] * ACCOUNT.free + [429] * 3


def test_addresses_of_one_ipv6_customer_count_as_one(attempt: Attempt) -> None:
    codes = [
        attempt(f"user{number}", "wrong", f"2001:db8:0:1::{number:x}").status_code
        for number in range(ADDRESS.free + 2)
    ]
    assert codes[-2:] == [429, 429]
    assert attempt("user99", "wrong", "2001:db8:0:2::1").status_code == 401


def test_name_that_nobody_has_is_limited_like_one_that_somebody_has(attempt: Attempt) -> None:
    known = [attempt("bob", "wrong", f"203.0.113.{number}") for number in range(7)]
    unknown = [attempt("nobody", "wrong", f"203.0.113.{number}") for number in range(7)]
    assert [a.status_code for a in known] == [a.status_code for a in unknown]
    pages = [re.sub(r'value="[^"]*"', "", answer.text) for answer in (known[-1], unknown[-1])]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("spelling", ["BOB", "Bob", "bo\0b"])
def test_spellings_of_a_name_share_its_tries(attempt: Attempt, spelling: str) -> None:
    statuses(attempt, 5, "bob")
    assert attempt(spelling).status_code == 429


def test_tries_are_forgiven_one_by_one(attempt: Attempt, shift: Shift) -> None:
    statuses(attempt, 5, "bob")
    shift(ACCOUNT.forgiven_every)
    assert statuses(attempt, 2, "bob") == [401, 429]
    shift(5 * ACCOUNT.forgiven_every)
    assert statuses(attempt, 6, "bob") == [401] * 5 + [429]


def test_tries_at_the_same_moment_are_counted_before_they_are_judged(
    app: Flask, browser: Any
) -> None:
    people = [Browser(app) for _ in range(16)]
    forms = [
        {"csrf_token": one.token(), "username": "bob", "password": f"guess {number}"}
        for number, one in enumerate(people)
    ]
    codes = sign_in_at_once(people, forms)
    assert codes.count(429) == len(codes) - codes.count(401)
    assert codes.count(401) == ACCOUNT.free


def test_counts_survive_a_restart(app: Flask, attempt: Attempt, settings: Settings) -> None:
    statuses(attempt, 5, "bob")
    session.remove()
    again = factory.build_app(settings)
    fresh = Browser(again)
    answer = fresh.client.post(
        "/login",
        data={"csrf_token": fresh.token(), "username": "bob", "password": PASSWORD},
        environ_base={"REMOTE_ADDR": OFFICE},
    )
    assert answer.status_code == 429
    session.remove()
    engine_of(again).dispose()


def test_header_that_a_client_sends_makes_no_other_address(attempt: Attempt) -> None:
    codes = [
        attempt(f"user{number}", X_Forwarded_For=f"203.0.113.{number}").status_code
        for number in range(ADDRESS.free + 1)
    ]
    assert codes[-1] == 429


def test_address_behind_a_proxy_is_the_one_the_proxy_saw(settings: Settings, app: Flask) -> None:
    behind = factory.build_app(settings.model_copy(update={"trusted_proxies": 1}))
    someone = Browser(behind)
    form = {"csrf_token": someone.token(), "password": "wrong"}

    def ask(number: int, forwarded: str) -> int:
        answer = someone.client.post(
            "/login",
            data={**form, "username": f"user{number}"},
            headers={"X-Forwarded-For": forwarded},
        )
        return answer.status_code

    # What stands left of the proxy's own entry was sent by the client.
    codes = [ask(number, f"203.0.113.{number}, {ATTACKER}") for number in range(ADDRESS.free + 1)]
    assert codes[-1] == 429
    assert ask(99, f"{ATTACKER}, {HOME}") == 401
    session.rollback()
    assert {entry.address for entry in session.query(AuditEntry).filter_by(action="sign-in")} == {
        ATTACKER,
        HOME,
    }
    session.remove()
    engine_of(behind).dispose()


def test_names_that_were_typed_stand_nowhere_in_the_counts(attempt: Attempt) -> None:
    attempt("hunter2 " + "x" * 150)
    session.rollback()
    keys = [row.key for row in session.query(SignInLimit)]
    assert keys
    assert all(len(key) == 64 and "hunter2" not in key for key in keys)


def test_old_counts_are_swept_out_by_the_next_sign_in(attempt: Attempt, shift: Shift) -> None:
    attempt("nobody")
    shift(25 * 3600)
    attempt("bob", PASSWORD, HOME)
    session.rollback()
    counted: list[datetime] = [row.counted_at for row in session.query(SignInLimit)]
    assert counted
    assert all(moment > now() + timedelta(hours=24) for moment in counted)
