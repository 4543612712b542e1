"""One user, token or address cannot keep the portal busy with requests of one kind."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from portal.app import Portal
from portal.db.clock import now
from portal.db.session import session
from portal.models import User
from portal.runtime import request_counts
from portal.services.accounts import api_tokens
from portal.services.actor import Actor
from portal.services.runtime import runtime
from portal.web.rate_limits import RateLimits, RequestKind
from tests.support.applications import configure
from tests.support.client import Browser
from tests.support.program import Program, assert_problem

Answers = list[Any]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """All requests fall into one minute, however long they take."""
    moment = time.time()
    clock = SimpleNamespace(time=lambda: moment, monotonic=lambda: moment)
    monkeypatch.setattr(request_counts, "time", clock)


@pytest.fixture
def limit(app: Portal) -> Callable[..., None]:
    """``limit(exports=5)``: so many a minute."""

    def use(**numbers: int) -> None:
        changed = runtime().settings.model_copy(
            update={f"rate_limit_{kind}": number for kind, number in numbers.items()}
        )
        configure(app, settings=changed)
        app.context.put(RateLimits(changed))

    return use


@pytest.fixture
def program(app: Flask, user: Callable[[str], User]) -> Callable[[str], Program]:
    def start(name: str) -> Program:
        owner = user(name)
        life = now() + timedelta(days=1)
        with app.app_context():
            text = api_tokens.create("Script", "operate", life, actor=Actor(owner))[1]
        session.remove()
        return Program(app, text)

    return start


def codes(answers: Answers) -> list[int]:
    return [answer.status_code for answer in answers]


def times(number: int, ask: Callable[[], Any]) -> Answers:
    return [ask() for _ in range(number)]


def last_refused(answers: Answers, most: int, code: int = 200) -> Any:
    """The first ones are answered, all others refused."""
    assert codes(answers) == [code] * most + [429] * (len(answers) - most)
    return answers[-1]


def assert_told(answer: Any, kind: str, most: int) -> None:
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 60
    assert answer.headers["RateLimit-Policy"] == f'"{kind}";q={most};w=60'
    name, left, reset = answer.headers["RateLimit"].split(";")
    assert (name, left) == (f'"{kind}"', "r=0")
    assert 0 <= int(reset.removeprefix("t=")) <= seconds


# --- exports --------------------------------------------------------------------------------------


def test_of_two_hundred_exports_in_a_row_thirty_are_made(browser: Any) -> None:
    alice = browser("alice")
    answers = times(200, lambda: alice.post("/history/export", {"format": "csv"}))
    refused = last_refused(answers, 30)
    assert_told(refused, "exports", 30)
    assert "Too many exports within a minute. Try again in " in refused.text
    assert alice.get("/history").status_code == 200
    assert browser("bob").post("/history/export", {"format": "csv"}).status_code == 200
    metrics = browser().get("/metrics").text
    assert 'portal_requests_limited_total{process="0",reason="exports"} 170.0' in metrics


def test_exports_of_all_pages_count_together(
    browser: Any, limit: Any, new_job: Callable[..., int]
) -> None:
    limit(exports=3)
    alice, job = browser("alice"), new_job("alice")
    answers = [
        alice.post("/audit/export", {"format": "jsonl"}),
        alice.post("/history/export", {"format": "csv"}),
        alice.get(f"/jobs/{job}/log/download"),
        alice.get(f"/jobs/{job}/log/download"),
        alice.post("/audit/export", {"format": "csv"}),
    ]
    assert_told(last_refused(answers, 3), "exports", 3)


# --- the API --------------------------------------------------------------------------------------


def test_program_is_told_what_is_left_and_then_refused(program: Any, limit: Any) -> None:
    limit(api=3)
    script = program("bob")
    answers = times(5, lambda: script.get("/jobs"))
    refused = last_refused(answers, 3)
    assert_told(refused, "api", 3)
    assert_problem(refused, 429)
    assert refused.json["detail"].startswith("Too many requests within a minute. Try again in")
    told = [answer.headers["RateLimit"].rpartition(";")[0] for answer in answers]
    assert told == [f'"api";r={left}' for left in (2, 1, 0, 0, 0)]


def test_tokens_and_browsers_of_one_user_are_counted_apart(
    browser: Any, program: Any, limit: Any
) -> None:
    limit(api=2)
    busy, other, bob = program("bob"), program("bob"), browser("bob")
    assert codes(times(3, lambda: busy.get("/history"))) == [200, 200, 429]
    assert other.get("/history").status_code == 200
    assert codes(times(3, lambda: bob.get("/api/v1/jobs"))) == [200, 200, 429]


def test_what_is_forbidden_or_not_there_counts_too(program: Any, limit: Any) -> None:
    limit(api=3)
    script = program("bob")
    answers = [script.get(path) for path in ("/users", "/jobs/999", "/jobs?page=x", "/jobs")]
    assert codes(answers) == [403, 404, 422, 429]


def test_changes_by_the_api_are_told_and_limited(program: Any, limit: Any) -> None:
    limit(changes=2)
    script = program("bob")
    answers = times(3, lambda: script.post("/jobs/999/cancel"))
    assert_told(last_refused(answers, 2, 404), "changes", 2)
    assert answers[0].headers["RateLimit"].startswith('"changes";r=1;')
    assert script.get("/jobs").status_code == 200


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "ask"),
    [
        ("pages", lambda bob: bob.get("/jobs")),
        ("pages", lambda bob: bob.get("/no/such/page")),
        ("changes", lambda bob: bob.post("/settings", {"theme": "dark"})),
        ("changes", lambda bob: bob.post("/jobs/999/cancel")),
        ("storages", lambda bob: bob.get("/browse")),
        ("storages", lambda bob: bob.post("/jobs/preview")),
    ],
)
def test_each_kind_has_its_limit_with_a_sentence(
    browser: Any, limit: Any, kind: str, ask: Callable[[Browser], Any]
) -> None:
    bob = browser("bob")
    bob.token()
    limit(**{kind: 2})
    *answered, refused = times(3, lambda: ask(bob))
    assert 429 not in codes(answered)
    assert refused.status_code == 429
    assert_told(refused, kind, 2)
    assert "within a minute. Try again in " in refused.text
    assert ask(browser("charlie")).status_code != 429


def test_refreshes_of_open_pages_count_for_each_session(browser: Any, limit: Any) -> None:
    bob, elsewhere = browser("bob"), browser("bob")
    limit(refreshes=2, pages=1)
    headers = {"HX-Request": "true"}
    for one in (bob, elsewhere):
        assert codes(times(3, lambda one=one: one.get("/jobs", headers=headers))) == [200, 200, 429]
    assert bob.get("/jobs").status_code == 200
    assert elsewhere.get("/jobs").status_code == 429


def test_limit_of_nought_is_none(browser: Any, limit: Any) -> None:
    bob = browser("bob")
    limit(**{kind.value: 0 for kind in RequestKind})
    answers = times(50, lambda: bob.post("/history/export", {"format": "csv"}))
    assert codes(answers) == [200] * 50
    assert "RateLimit" not in bob.get("/api/v1/jobs").headers


def test_ten_tabs_that_ask_each_second_reach_no_limit(
    browser: Any, limit: Any, new_job: Callable[..., int]
) -> None:
    bob, job = browser("bob"), new_job("bob")
    limit(**{kind.value: 1 for kind in RequestKind})
    fetched = (
        "/api/dashboard/stats",
        f"/api/jobs/{job}/progress",
        f"/api/jobs/{job}/speed",
        f"/api/jobs/{job}/log?after=0",
        "/api/session",
        "/api/connection",
    )
    headers = {"HX-Request": "true"}
    for path in fetched:
        answers = times(30, lambda path=path: bob.get(path, headers=headers))
        assert set(codes(answers)) <= {200, 204, 304}, path


def test_probes_are_never_limited(browser: Any, limit: Any) -> None:
    limit(**{kind.value: 1 for kind in RequestKind})
    nobody = browser()
    for path in ("/healthz", "/readyz", "/metrics"):
        assert 429 not in codes(times(20, lambda path=path: nobody.get(path)))


def test_forms_of_another_site_use_up_nothing(browser: Any, limit: Any) -> None:
    bob = browser("bob")
    bob.token()
    limit(changes=1)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        form = {"theme": "dark", "csrf_token": "forged"}
        refused = bob.client.post("/settings", data=form, headers=headers)
        assert refused.status_code in (400, 403)
    assert bob.post("/settings", {"theme": "dark"}).status_code == 303


# --- strangers ------------------------------------------------------------------------------------


def asked_from(nobody: Browser, path: str, address: str, **headers: str) -> int:
    environ = {"REMOTE_ADDR": address}
    return int(nobody.get(path, environ_base=environ, headers=headers).status_code)


def test_strangers_are_limited_by_address(browser: Any, limit: Any) -> None:
    limit(strangers=2)
    nobody, bob = browser(), browser("bob")
    limit(strangers=2)
    found = [asked_from(nobody, "/jobs", "192.0.2.1") for _ in range(3)]
    assert found == [302, 302, 429]
    assert asked_from(nobody, "/jobs", "192.0.2.2") == 302
    assert asked_from(bob, "/jobs", "192.0.2.1") == 200, "who is signed in is no stranger"


def test_network_of_a_customer_counts_as_one_address(browser: Any, limit: Any) -> None:
    limit(strangers=2)
    found = [asked_from(browser(), "/login", f"2001:db8::{number}") for number in range(1, 4)]
    assert found == [200, 200, 429]


def test_unknown_tokens_are_limited_by_address(browser: Any, limit: Any) -> None:
    limit(strangers=2)
    nobody = browser()
    found = [
        asked_from(nobody, "/api/v1/jobs", "192.0.2.1", Authorization=f"Bearer tp_{number}")
        for number in range(4)
    ]
    assert found == [401, 401, 429, 429]


def test_signing_in_is_counted_by_its_own_limits(browser: Any, limit: Any) -> None:
    nobody = browser()
    nobody.token()
    limit(strangers=1)
    answers = times(5, lambda: nobody.sign_in("bob", "wrong"))
    assert codes(answers) == [401] * 5
