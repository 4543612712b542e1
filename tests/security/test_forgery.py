"""A page of another site rides on the cookies of a signed-in browser: nothing changes here."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from flask import Flask

from portal.settings import Settings
from tests.support.users import PASSWORD

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
#: What another site can make a browser send, and what happens to it even if the token leaked.
WITHOUT_TOKEN: dict[str, dict[str, Any]] = {
    "a form": {"data": {"theme": "dark"}},
    "a form of files": {"data": {"theme": "dark"}, "content_type": "multipart/form-data"},
    "plain text": {"data": '{"theme":"dark"}', "content_type": "text/plain"},
    "JSON": {"json": {"theme": "dark"}},
    "nothing": {},
    "a wrong token": {"data": {"csrf_token": "IjEi.x.y"}},
    "a wrong header": {"headers": {"X-CSRFToken": "IjEi.x.y", "HX-Request": "true"}},
    "a token in the address": {"query_string": {"csrf_token": "x"}},
    "another method by a field": {"data": {"_method": "POST"}},
}
WITH_TOKEN = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a sister site": {"Sec-Fetch-Site": "same-site"},
    "another origin": {"Origin": "http://evil.example"},
    "no origin to name": {"Origin": "null"},
    "a longer name": {"Origin": "http://localhost.evil.example"},
    "another port": {"Origin": "http://localhost:8001"},
    "an origin that is none": {"Origin": "http://[::1"},
    "a site that lies about its origin": {
        "Sec-Fetch-Site": "cross-site",
        "Origin": "http://localhost",
    },
}


def unsafe_routes(app: Flask) -> list[tuple[str, str]]:
    """Every method and address that may change something, with numbers that exist."""
    found = []
    for rule in app.url_map.iter_rules():
        path = rule.rule
        for argument in rule.arguments:
            for kind in ("int:", ""):
                path = path.replace(f"<{kind}{argument}>", "1")
        found += [(method, path) for method in (rule.methods or set()) & UNSAFE]
    return sorted(found)


@pytest.fixture
def contents(app: Flask, settings: Settings) -> Callable[[], dict[str, list[Any]]]:
    """All there is in the database, but when somebody was last seen."""

    def read() -> dict[str, list[Any]]:
        path = settings.data_dir / "portal.sqlite"
        with closing(sqlite3.connect(path)) as database:
            names = [
                name
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
            ]
            return {
                name: database.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - our tables
                for name in names
            }

    return read


@pytest.fixture
def alice(browser: Any, new_job: Any) -> Any:
    new_job()
    return browser("alice")


@pytest.mark.parametrize("attack", WITHOUT_TOKEN)
def test_no_route_is_changed_by_a_request_without_our_token(
    app: Flask, alice: Any, contents: Any, attack: str
) -> None:
    before = contents()
    answers = {
        (method, path): alice.client.open(path, method=method, **WITHOUT_TOKEN[attack]).status_code
        for method, path in unsafe_routes(app)
    }
    assert len(answers) > 20
    assert {code for code in answers.values() if not 400 <= code < 500} == set(), answers
    assert contents() == before
    assert alice.get("/").status_code == 200


@pytest.mark.parametrize("attack", WITH_TOKEN)
def test_no_route_is_changed_from_another_site_even_with_our_token(
    app: Flask, alice: Any, contents: Any, attack: str
) -> None:
    token = alice.token()
    headers = {**WITH_TOKEN[attack], "X-CSRFToken": token}
    before = contents()
    answers = {
        (method, path): alice.client.open(path, method=method, headers=headers).status_code
        for method, path in unsafe_routes(app)
    }
    assert set(answers.values()) == {403}, answers
    assert contents() == before
    assert alice.get("/").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
        {"Origin": "http://LOCALHOST"},
        # A proxy that ends TLS and says nothing of it.
        {"Origin": "https://localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://portal.example"},
    ],
)
def test_form_of_our_own_page_is_taken(browser: Any, headers: dict[str, str]) -> None:
    bob = browser("bob")
    assert bob.post("/settings", {"theme": "dark"}, headers=headers).status_code == 303


def test_sign_in_from_another_site_is_refused(browser: Any) -> None:
    """Else a victim would work in the attacker's account."""
    nobody = browser()
    data = {"csrf_token": nobody.token(), "username": "bob", "password": PASSWORD}
    answer = nobody.client.post("/login", data=data, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    assert nobody.get("/jobs").status_code == 302


def test_get_changes_nothing_at_any_address(app: Flask, alice: Any, contents: Any) -> None:
    alice.get("/")  # the visit is noted once
    before = contents()
    for rule in app.url_map.iter_rules():
        path = rule.rule
        for argument in rule.arguments:
            for kind in ("int:", ""):
                path = path.replace(f"<{kind}{argument}>", "1")
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = alice.client.open(path, method=method, query_string={"theme": "dark"})
            assert answer.status_code < 500, path
    assert contents() == before
