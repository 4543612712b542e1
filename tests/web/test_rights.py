"""Who may ask for what: every route declares it, and every route is asked by everyone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from flask import Flask

from portal.db.clock import now
from portal.db.session import session
from portal.models import Job, LoginSession, Remote, Role, User
from portal.services.accounts import (
    api_tokens,
    password_links,
    sessions,
    users,
)
from portal.services.actor import Actor
from portal.services.jobs import create
from portal.transfers.request import Transfer
from portal.transfers.states import JobStatus, Operation
from portal.web import access
from tests.support.users import PASSWORD

PUBLIC, VIEWER, OPERATOR, ADMIN = "public", "viewer", "operator", "admin"

#: Method and rule of every route, and the least role it answers.
TABLE = {
    ("GET", "/"): VIEWER,
    ("GET", "/api/connection"): VIEWER,
    ("GET", "/api/dashboard/stats"): VIEWER,
    ("GET", "/api/jobs/<big_id:job_id>/log"): VIEWER,
    ("GET", "/api/jobs/<big_id:job_id>/progress"): VIEWER,
    ("GET", "/api/jobs/<big_id:job_id>/speed"): VIEWER,
    ("GET", "/api/session"): VIEWER,
    ("GET", "/api/v1/docs"): VIEWER,
    ("GET", "/api/v1/events"): VIEWER,
    ("GET", "/api/v1/history"): VIEWER,
    ("GET", "/api/v1/jobs"): VIEWER,
    ("GET", "/api/v1/jobs/<big_id:job_id>"): VIEWER,
    ("GET", "/api/v1/jobs/<big_id:job_id>/events"): VIEWER,
    ("GET", "/api/v1/jobs/<big_id:job_id>/speed"): VIEWER,
    ("GET", "/api/v1/openapi.json"): VIEWER,
    ("GET", "/api/v1/remotes"): OPERATOR,
    ("GET", "/api/v1/remotes/<id:remote_id>"): ADMIN,
    ("GET", "/api/v1/statistics"): VIEWER,
    ("GET", "/api/v1/statistics/throughput"): VIEWER,
    ("GET", "/api/v1/users"): ADMIN,
    ("GET", "/api/v1/users/<id:user_id>"): ADMIN,
    ("GET", "/audit"): ADMIN,
    ("GET", "/browse"): OPERATOR,
    ("GET", "/connection"): VIEWER,
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/history"): VIEWER,
    ("GET", "/jobs"): VIEWER,
    ("GET", "/jobs/<big_id:job_id>"): VIEWER,
    ("GET", "/jobs/<big_id:job_id>/log"): VIEWER,
    ("GET", "/jobs/<big_id:job_id>/log/download"): VIEWER,
    ("GET", "/jobs/new"): OPERATOR,
    ("GET", "/login"): PUBLIC,
    ("GET", "/login/code"): PUBLIC,
    ("GET", "/login/second-factor"): PUBLIC,
    ("GET", "/login/second-factor/qr.svg"): PUBLIC,
    ("GET", "/metrics"): PUBLIC,
    ("GET", "/password/<token>"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/remotes"): ADMIN,
    ("GET", "/remotes/<id:remote_id>"): ADMIN,
    ("GET", "/remotes/new"): ADMIN,
    ("GET", "/sessions"): VIEWER,
    ("GET", "/settings"): VIEWER,
    ("GET", "/settings/bandwidth"): ADMIN,
    ("GET", "/settings/second-factor"): VIEWER,
    ("GET", "/settings/second-factor/qr.svg"): VIEWER,
    ("GET", "/settings/sign-on"): VIEWER,
    ("GET", "/sign-on"): PUBLIC,
    ("GET", "/sign-on/callback"): PUBLIC,
    ("GET", "/tokens"): VIEWER,
    ("GET", "/users"): ADMIN,
    ("GET", "/users/<id:user_id>/sessions"): ADMIN,
    ("GET", "/workers"): ADMIN,
    ("POST", "/audit/export"): ADMIN,
    ("POST", "/api/v1/jobs"): OPERATOR,
    ("POST", "/api/v1/jobs/<big_id:job_id>/cancel"): OPERATOR,
    ("POST", "/api/v1/jobs/<big_id:job_id>/bandwidth"): OPERATOR,
    ("POST", "/api/v1/jobs/<big_id:job_id>/confirm"): OPERATOR,
    ("POST", "/api/v1/jobs/<big_id:job_id>/pause"): OPERATOR,
    ("POST", "/api/v1/jobs/<big_id:job_id>/priority"): ADMIN,
    ("POST", "/api/v1/jobs/<big_id:job_id>/resume"): OPERATOR,
    ("POST", "/api/v1/jobs/<big_id:job_id>/retry"): OPERATOR,
    ("POST", "/api/v1/remotes"): ADMIN,
    ("POST", "/api/v1/remotes/<id:remote_id>"): ADMIN,
    ("POST", "/api/v1/remotes/<id:remote_id>/delete"): ADMIN,
    ("POST", "/api/v1/remotes/<id:remote_id>/test"): ADMIN,
    ("POST", "/api/v1/users"): ADMIN,
    ("POST", "/api/v1/users/<id:user_id>/disable"): ADMIN,
    ("POST", "/api/v1/users/<id:user_id>/enable"): ADMIN,
    ("POST", "/api/v1/users/<id:user_id>/role"): ADMIN,
    ("POST", "/browse/folders"): OPERATOR,
    ("POST", "/history/export"): VIEWER,
    ("POST", "/jobs"): OPERATOR,
    ("POST", "/jobs/preview"): OPERATOR,
    ("POST", "/jobs/<big_id:job_id>/cancel"): OPERATOR,
    ("POST", "/jobs/<big_id:job_id>/bandwidth"): OPERATOR,
    ("POST", "/jobs/<big_id:job_id>/confirm"): OPERATOR,
    ("POST", "/jobs/<big_id:job_id>/pause"): OPERATOR,
    ("POST", "/jobs/<big_id:job_id>/priority"): ADMIN,
    ("POST", "/jobs/<big_id:job_id>/resume"): OPERATOR,
    ("POST", "/jobs/<big_id:job_id>/retry"): OPERATOR,
    ("POST", "/login"): PUBLIC,
    ("POST", "/login/code"): PUBLIC,
    ("POST", "/login/second-factor"): PUBLIC,
    ("POST", "/logout"): VIEWER,
    ("POST", "/password/<token>"): PUBLIC,
    ("POST", "/remotes"): ADMIN,
    ("POST", "/remotes/<id:remote_id>"): ADMIN,
    ("POST", "/remotes/<id:remote_id>/delete"): ADMIN,
    ("POST", "/remotes/<id:remote_id>/host-key"): ADMIN,
    ("POST", "/remotes/<id:remote_id>/test"): ADMIN,
    ("POST", "/sessions/<id:session_id>/end"): VIEWER,
    ("POST", "/sessions/end-others"): VIEWER,
    ("POST", "/settings"): VIEWER,
    ("POST", "/settings/bandwidth"): ADMIN,
    ("POST", "/settings/password"): VIEWER,
    ("POST", "/settings/second-factor/begin"): VIEWER,
    ("POST", "/settings/second-factor/codes"): VIEWER,
    ("POST", "/settings/second-factor/disable"): VIEWER,
    ("POST", "/settings/second-factor/enable"): VIEWER,
    ("POST", "/settings/sign-on/link"): VIEWER,
    ("POST", "/settings/sign-on/unlink"): VIEWER,
    ("POST", "/tokens"): VIEWER,
    ("POST", "/tokens/<id:token_id>/end"): VIEWER,
    ("POST", "/users"): ADMIN,
    ("POST", "/users/<id:user_id>/disable"): ADMIN,
    ("POST", "/users/<id:user_id>/enable"): ADMIN,
    ("POST", "/users/<id:user_id>/password-link"): ADMIN,
    ("POST", "/users/<id:user_id>/reset-password"): ADMIN,
    ("POST", "/users/<id:user_id>/end-tokens"): ADMIN,
    ("POST", "/users/<id:user_id>/reset-second-factor"): ADMIN,
    ("POST", "/users/<id:user_id>/role"): ADMIN,
    ("POST", "/users/<id:user_id>/sessions/<id:session_id>/end"): ADMIN,
    ("POST", "/users/<id:user_id>/sessions/end-others"): ADMIN,
    ("POST", "/workers/<id:worker_id>/drain"): ADMIN,
    ("POST", "/workers/<id:worker_id>/pause"): ADMIN,
    ("POST", "/workers/<id:worker_id>/resume"): ADMIN,
}
API = "/api/v1/"
#: Forms of pages; tests/web/api asks the same five questions of what takes JSON.
MUTATING = sorted(rule for method, rule in TABLE if method == "POST" and not rule.startswith(API))
#: Nobody here has one, so that these find nothing to do; test_second_factor lets them work.
OF_A_SECOND_FACTOR = {
    "/settings/second-factor/codes",
    "/settings/second-factor/disable",
    "/settings/second-factor/enable",
    "/users/<id:user_id>/reset-second-factor",
}
PEOPLE = {"charlie": Role.VIEWER, "bob": Role.OPERATOR, "alice": Role.ADMIN}


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield method, rule.rule, rule.endpoint


def sent(method: str, path: str, token: str, data: dict[str, str]) -> dict[str, Any]:
    """A form with its token; JSON and a header with it below /api/v1/."""
    if method != "POST":
        return {}
    if path.startswith(API):
        return {"json": data, "headers": {"X-CSRFToken": token}}
    return {"data": {"csrf_token": token, **data}}


@pytest.fixture
def job(app: Flask, user: Callable[[str], User]) -> Callable[..., int]:
    """Puts a job into the database, queued or with the status asked for."""

    def add(owner: str = "bob", status: JobStatus = JobStatus.QUEUED) -> int:
        transfer = Transfer("Photos", Operation.COPY, "/from", "/to", None, False)
        with app.app_context():
            number = create.create(transfer, actor=Actor(user(owner))).id
            if status is not JobStatus.QUEUED:
                session.get_one(Job, number).status = status
                session.commit()
        return number

    return add


@pytest.fixture
def dry_run(app: Flask, job: Callable[..., int]) -> Callable[[], int]:
    """A dry run of bob's that may be confirmed."""

    def add() -> int:
        number = job("bob", JobStatus.COMPLETED)
        with app.app_context():
            row = session.get_one(Job, number)
            row.operation, row.dry_run, row.plan = Operation.SYNC, True, {"deletes": 0}
            session.commit()
        return number

    return add


@pytest.fixture
def token(app: Flask, user: Callable[[str], User]) -> Callable[..., int]:
    """Gives somebody a token."""

    def add(owner: str) -> int:
        with app.app_context():
            end = now() + timedelta(days=1)
            return api_tokens.create("Nightly", "read", end, actor=Actor(user(owner)))[0].id

    return add


@pytest.fixture
def remote(app: Flask) -> Callable[[], int]:
    """A new remote that leads to this machine, which is not allowed: nothing is asked."""
    numbers = count(1)

    def add() -> int:
        options = {"host": "127.0.0.1", "user": "bob"}
        made = Remote(name=f"nas-{next(numbers)}", backend="sftp", options=options)
        with app.app_context():
            session.add(made)
            session.commit()
            return made.id

    return add


@pytest.fixture
def live(app: Flask, user: Callable[[str], User]) -> Callable[[str], int]:
    """Signs a user in from one more browser; the id of the session."""

    def add(name: str) -> int:
        with app.app_context():
            writing = session()
            sessions.begin(writing, user(name), remember=False, address="", user_agent="")
            writing.commit()
            return max(row.id for row in sessions.of_user(user(name).id))

    return add


@pytest.fixture
def link(app: Flask, user: Callable[[str], User]) -> Callable[[], str]:
    """The token of a link that sets bella's password."""

    def add() -> str:
        with app.app_context():
            return password_links.create(user("bella").id, actor=Actor(user("alice")))[1]

    return add


@pytest.fixture
def filled(
    root: Any,
    job: Callable[..., int],
    dry_run: Callable[[], int],
    user: Callable[[str], User],
    token: Callable[..., int],
    live: Callable[[str], int],
    link: Callable[[], str],
    remote: Callable[[], int],
    worker_process: Callable[..., int],
) -> Callable[[str], tuple[str, dict[str, str]]]:
    """The address and the form by which a mutating route works for ``person``."""
    (root / "from").mkdir()

    def fill(rule: str, person: str = "alice") -> tuple[str, dict[str, str]]:
        data = {
            "/jobs": {
                "name": "Photos",
                "operation": "copy",
                "source": str(root / "from"),
                "destination": str(root / "to"),
            },
            "/jobs/preview": {"source": str(root / "from"), "exclude": "*.tmp"},
            "/remotes": {
                "backend": "b2",
                "name": "vault",
                "role": "admin",
                "option_account": "0012",
                "option_key": "K001",
            },
            "/remotes/<id:remote_id>": {
                "version": "1",
                "role": "admin",
                "option_host": "192.0.2.7",
                "option_user": "bob",
                "option_pass": "a password",
            },
            "/browse/folders": {"at": str(root), "name": "new"},
            "/tokens": {"name": "Nightly", "scope": "read", "expires": "30"},
            "/jobs/<big_id:job_id>/bandwidth": {"bandwidth_limit": "5M"},
            "/jobs/<big_id:job_id>/priority": {"priority": "1"},
            "/audit/export": {"format": "jsonl"},
            "/login": {"username": "bob", "password": PASSWORD},
            "/password/<token>": {"new_password": "a new one, long"},
            "/settings": {"theme": "dark"},
            "/settings/password": {"current_password": PASSWORD, "new_password": "a new one, long"},
            **{
                path: {"current_password": PASSWORD, "code": "123456"}
                for path in OF_A_SECOND_FACTOR
            },
            "/users": {"username": "dora", "role": "viewer"},
            "/users/<id:user_id>/role": {"role": "viewer"},
        }.get("/" + rule.removeprefix(API) if rule.startswith(API) else rule, {})
        if rule.endswith("/confirm"):
            rule = rule.replace("<big_id:job_id>", str(dry_run()))
        if "job_id" in rule:
            failed = JobStatus.FAILED if "retry" in rule else JobStatus.QUEUED
            failed = JobStatus.RUNNING if rule.endswith("/pause") else failed
            rule = rule.replace("<big_id:job_id>", str(job(status=failed)))
        if "remote_id" in rule:
            rule = rule.replace("<id:remote_id>", str(remote()))
        if "token_id" in rule:
            rule = rule.replace("<id:token_id>", str(token(person)))
        if "session_id" in rule:
            whose = "bella" if "user_id" in rule else person
            rule = rule.replace("<id:session_id>", str(live(whose)))
        if "<token>" in rule:
            rule = rule.replace("<token>", link())
        if "worker_id" in rule:
            rule = rule.replace("<id:worker_id>", str(worker_process()))
        if "user_id" in rule:
            rule = rule.replace("<id:user_id>", str(user("bella").id))
        return rule, data

    return fill


def test_every_route_declares_its_right(app: Flask) -> None:
    undeclared = [
        endpoint for *_, endpoint in routes(app) if access.right_of(app, endpoint) is None
    ]
    assert undeclared == []


def test_table_of_rights_names_every_route_and_no_other(app: Flask) -> None:
    declared = {(m, rule): str(access.right_of(app, endpoint)) for m, rule, endpoint in routes(app)}
    assert declared == TABLE


def test_view_that_forgot_to_declare_its_right_is_closed_even_to_admins(
    app: Flask, browser: Any
) -> None:
    app.view_functions["audit.index"] = lambda: "open"
    assert browser("alice").get("/audit").status_code == 403
    assert browser().get("/audit").status_code == 302


@pytest.mark.parametrize("person", PEOPLE)
def test_each_route_answers_those_whose_role_includes_it_and_403_to_others(
    app: Flask, browser: Any, filled: Any, person: str
) -> None:
    someone = browser(person)
    token = someone.token()
    wrong = {}
    # Signing out is asked last: everything after it would be asked by nobody.
    for method, rule in sorted(TABLE, key=lambda route: route[1] == "/logout"):
        may = TABLE[method, rule] == PUBLIC or PEOPLE[person].includes(Role(TABLE[method, rule]))
        path, data = filled(rule, person)
        if rule == "/login":
            data = {}  # signing in anew would change who asks
        form = sent(method, path, token, data)
        answer = someone.client.open(path, method=method, **form)
        if answer.status_code not in ((200, 201, 204, 302, 303, 409, 422) if may else (403,)):
            wrong[method, rule] = answer.status_code
    assert wrong == {}


def test_signed_out_gets_the_sign_in_page_or_401_and_never_an_answer(
    app: Flask, browser: Any, filled: Any
) -> None:
    nobody = browser()
    token = nobody.token()
    wrong = {}
    for (method, rule), right in TABLE.items():
        path, data = filled(rule)
        form = sent(method, path, token, data)
        if right == PUBLIC:
            continue
        answer = nobody.client.open(path, method=method, **form)
        form["headers"] = form.get("headers", {}) | {"HX-Request": "true"}
        by_htmx = nobody.client.open(path, method=method, **form)
        expected = 401 if path.startswith("/api/") else 302
        at_the_door = expected == 401 or answer.location.startswith("/login")
        if answer.status_code != expected or not at_the_door or by_htmx.status_code != 401:
            wrong[method, rule] = (answer.status_code, by_htmx.status_code)
    assert wrong == {}


@pytest.mark.parametrize("rule", MUTATING)
def test_mutating_route_works_and_a_second_call_is_harmless(
    browser: Any, filled: Any, rule: str
) -> None:
    alice = browser("alice")
    path, data = filled(rule)
    token = alice.token()
    first = alice.client.post(path, data={"csrf_token": token, **data})
    # The same request once more, as a double click sends it: with the token of the same page.
    second = alice.client.post(path, data={"csrf_token": token, **data})

    works = {
        "/audit/export": 200,
        "/history/export": 200,
        "/jobs/preview": 200,
        "/browse/folders": 201,
        "/remotes/<id:remote_id>/host-key": 409,  # its server cannot be tested
        **dict.fromkeys(OF_A_SECOND_FACTOR, 409),
    }
    assert first.status_code == works.get(rule, 303), first.text
    # A taken name and a password that is no longer the current one are said beside the field; a
    # token dies with the session that it was made for; what was ended or used up is gone.
    again = {
        "/browse/folders": 422,
        "/users": 422,
        "/remotes": 422,
        "/remotes/<id:remote_id>": 409,
        "/remotes/<id:remote_id>/delete": 404,
        "/settings/password": 422,
        "/tokens/<id:token_id>/end": 404,
        "/logout": 400,
        "/login": 400,
        "/password/<token>": 404,
        "/sessions/<id:session_id>/end": 404,
        "/users/<id:user_id>/sessions/<id:session_id>/end": 404,
        **dict.fromkeys(OF_A_SECOND_FACTOR, 409),
    }.get(rule, first.status_code)
    assert second.status_code == again


def test_mutating_routes_refuse_get(browser: Any, filled: Any) -> None:
    alice = browser("alice")
    answers = {rule: alice.get(filled(rule)[0]).status_code for rule in MUTATING}
    # A GET shows the page and changes nothing.
    pages = {
        *("/jobs", "/password/<token>", "/remotes", "/remotes/<id:remote_id>"),
        *("/settings", "/settings/bandwidth", "/tokens", "/users"),
    }
    assert {rule: code for rule, code in answers.items() if code != 405} == {
        **dict.fromkeys(sorted(pages), 200),
        "/login": 302,
        "/login/code": 303,
        "/login/second-factor": 303,
    }


def test_mutating_routes_refuse_a_form_without_its_token(browser: Any, filled: Any) -> None:
    alice = browser("alice")
    answers = {}
    for rule in MUTATING:
        path, data = filled(rule)
        answers[rule] = alice.client.post(path, data=data).status_code
    assert answers == dict.fromkeys(MUTATING, 400)
    assert alice.get("/").status_code == 200, "the refused sign-out ended the session"


def test_operator_may_cancel_and_retry_their_own_jobs_and_not_another_operators(
    browser: Any, job: Any
) -> None:
    bob, bella = browser("bob"), browser("bella")
    queued, failed = job("bob"), job("bob", JobStatus.FAILED)

    assert bella.post(f"/jobs/{queued}/cancel").status_code == 403
    assert bella.post(f"/jobs/{failed}/retry").status_code == 403
    assert bob.post(f"/jobs/{queued}/cancel").status_code == 303
    assert bob.post(f"/jobs/{failed}/retry").status_code == 303


def test_admin_may_cancel_and_retry_everyones_jobs(browser: Any, job: Any) -> None:
    alice = browser("alice")
    assert alice.post(f"/jobs/{job('bob')}/cancel").status_code == 303
    assert alice.post(f"/jobs/{job('bella', JobStatus.FAILED)}/retry").status_code == 303


def test_pages_show_no_button_for_what_is_forbidden(browser: Any, job: Any) -> None:
    number = job("bob")
    cancel = f'action="/jobs/{number}/cancel"'

    assert cancel in browser("bob").get(f"/jobs/{number}").text
    assert cancel in browser("alice").get("/jobs").text
    assert cancel not in browser("bella").get(f"/jobs/{number}").text
    charlies = browser("charlie")
    for page in ("/", "/jobs", f"/jobs/{number}"):
        text = charlies.get(page).text
        assert cancel not in text
        assert "/jobs/new" not in text
        assert 'href="/users"' not in text
        assert 'href="/audit"' not in text


def test_role_in_the_form_of_ones_own_settings_changes_no_role(browser: Any, user: Any) -> None:
    charlie = browser("charlie")
    charlie.post("/settings", {"theme": "dark", "role": "admin", "user_id": "1"})
    session.expire_all()
    assert user("charlie").role == Role.VIEWER
    assert user("charlie").settings.theme == "dark"
    assert user("alice").settings.theme == "auto"


def test_demoted_admin_loses_the_rights_at_the_next_request(
    browser: Any, user: Any, app: Flask
) -> None:
    bella = browser("bella")
    alice = browser("alice")
    alice.post(f"/users/{user('bella').id}/role", {"role": "admin"})
    assert bella.get("/users").status_code == 200
    alice.post(f"/users/{user('bella').id}/role", {"role": "viewer"})
    assert bella.get("/users").status_code == 403
    assert bella.get("/jobs/new").status_code == 403
    assert session.query(LoginSession).filter_by(user_id=user("bella").id).count() == 1
    assert users.has_users()
