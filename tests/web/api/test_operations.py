"""Each operation that changes something is asked five questions; and its declaration, its route and
its description agree."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from sqlalchemy import update

from portal.db.clock import now
from portal.db.session import session
from portal.models import AuditEntry, Job, Remote, Role
from portal.transfers.states import JobStatus
from portal.web.routes.api.openapi import scope_for
from portal.web.routes.api.operations import OPERATIONS, ApiOperation
from tests.support.program import Program
from tests.support.project import ROOT

MUTATING = {one.name: one for one in OPERATIONS if one.method == "POST"}
NAMES = {Role.VIEWER: "charlie", Role.OPERATOR: "bob", Role.ADMIN: "alice"}
BODIES = {
    "create_user": {"username": "dora", "role": "viewer"},
    "change_role": {"role": "viewer"},
    "create_remote": {
        "name": "vault",
        "backend": "b2",
        "options": {"account": "0012", "key": "K001"},
    },
    "change_remote": {
        "version": 1,
        "options": {"host": "192.0.2.7", "user": "carol", "pass": "a password"},
    },
    "confirm_job": {},
    "limit_job": {"bandwidth_limit": "5M"},
    "prioritise_job": {"priority": 1},
}
ACTIONS = {
    "create_job": "job.create",
    "cancel_job": "job.cancel",
    "confirm_job": "job.create",
    "limit_job": "job.limit",
    "pause_job": "job.pause",
    "prioritise_job": "job.priority",
    "resume_job": "job.resume",
    "retry_job": "job.retry",
    "create_user": "user.create",
    "change_role": "user.role",
    "disable_user": "user.disable",
    "enable_user": "user.enable",
    "create_remote": "remote.create",
    "change_remote": "remote.change",
    "test_remote": "remote.test",
    "delete_remote": "remote.delete",
}


#: What is taken, changed meanwhile or gone; the others answer the same again.
AGAIN = {
    "create_user": 422,
    "confirm_job": 200,
    "create_remote": 422,
    "change_remote": 409,
    "delete_remote": 404,
}


@pytest.fixture
def asked(job_fields: Any, new_job: Any, user: Any) -> Callable[[ApiOperation], tuple[str, Any]]:
    """The path and the body by which an operation works."""

    def fill(one: ApiOperation) -> tuple[str, Any]:
        job, bella = new_job("bob"), user("bella")
        if one.name == "confirm_job":
            done = {"status": JobStatus.COMPLETED, "operation": "sync", "dry_run": True}
            session.execute(update(Job).values(plan={"deletes": 0}, **done))
        if one.name in ("pause_job", "resume_job"):
            paused_at = now() if one.name == "resume_job" else None
            session.execute(update(Job).values(status=JobStatus.RUNNING, paused_at=paused_at))
        if one.name == "retry_job":
            session.execute(update(Job).values(status=JobStatus.FAILED))
        if one.name == "enable_user":
            session.execute(update(type(bella)).filter_by(id=bella.id).values(active=False))
        # It leads to this machine, which is not allowed: nothing is asked.
        here = Remote(name="nas", backend="sftp", options={"host": "127.0.0.1", "user": "bob"})
        session.add(here)
        session.commit()
        number = str(here.id)
        session.remove()
        path = one.rule.replace("<big_id:job_id>", str(job)).replace("<id:user_id>", str(bella.id))
        path = path.replace("<id:remote_id>", number)
        return path, BODIES.get(one.name, job_fields if one.name == "create_job" else None)

    return fill


def audited() -> list[str]:
    try:
        return [entry.action for entry in session.query(AuditEntry).order_by(AuditEntry.id)]
    finally:
        session.remove()


@pytest.mark.parametrize("name", MUTATING)
def test_operation_works_is_audited_and_a_second_call_is_harmless(
    program: Any, asked: Any, name: str
) -> None:
    one = MUTATING[name]
    path, body = asked(one)
    asking = program("alice")
    first = asking.post(path, body)
    assert first.status_code == min(one.answers, key=lambda status: -status), first.text
    assert ACTIONS[name] in audited()[-2:]
    second = asking.post(path, body)
    assert second.status_code == AGAIN.get(name, first.status_code)


@pytest.mark.parametrize("name", MUTATING)
def test_operation_refuses_get_and_other_methods(program: Any, asked: Any, name: str) -> None:
    path, _ = asked(MUTATING[name])
    asking = program("alice")
    lists = path in ("/jobs", "/users", "/remotes") or name == "change_remote"
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = asking.ask(method, path)
        assert answer.status_code == (200 if lists and method == "GET" else 405), method
    assert ACTIONS[name] not in audited()[-1:] or name == "create_job"


@pytest.mark.parametrize("name", MUTATING)
def test_operation_refuses_a_role_and_a_scope_below_its_own(
    program: Any, asked: Any, name: str
) -> None:
    one = MUTATING[name]
    path, body = asked(one)
    for role in Role:
        if not role.includes(one.right):
            assert program(NAMES[role]).post(path, body).status_code == 403
            assert program("alice", scope_for(role)).post(path, body).status_code == 403


@pytest.mark.parametrize("name", MUTATING)
def test_operation_refuses_those_without_a_token_and_a_cookie_without_csrf(
    app: Flask, browser: Any, asked: Any, name: str
) -> None:
    path, body = asked(MUTATING[name])
    for text in (None, "tp_" + "x" * 43):
        answer = Program(app, text).post(path, body)
        assert answer.status_code == 401
    alice = browser("alice")
    assert alice.client.post(f"/api/v1{path}", json=body).status_code == 400
    token = alice.token()
    works = alice.client.post(f"/api/v1{path}", json=body, headers={"X-CSRFToken": token})
    assert works.status_code in MUTATING[name].answers


# --- the description ----------------------------------------------------------------------------


@pytest.fixture
def document(program: Any) -> dict[str, Any]:
    answer = program("charlie").get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def test_document_names_every_route_of_the_api_and_no_other(
    app: Flask, document: dict[str, Any]
) -> None:
    routes = {
        (method.lower(), re.sub(r"<(?:big_)?id:(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(method, path) for path, all_ in document["paths"].items() for method in all_}
    assert routes - described == {("get", "/api/v1/docs"), ("get", "/api/v1/openapi.json")}
    assert described <= routes


def test_document_has_no_loose_ends_and_its_schemas_are_schemas(document: dict[str, Any]) -> None:
    names = set(document["components"]["schemas"])
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert used == names
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$defs": {}, **schema})


def test_each_operation_says_its_right_its_answers_and_its_refusals(
    document: dict[str, Any],
) -> None:
    for one in OPERATIONS:
        described = document["paths"][one.path][one.method.lower()]
        assert described["operationId"] == one.name
        assert described["x-role"] == one.right
        assert described["summary"]
        assert {str(status) for status in one.answers} <= described["responses"].keys()
        assert "401" in described["responses"]


def test_reference_page_holds_every_operation_every_shape_and_no_script_of_its_own(
    browser: Any, document: dict[str, Any]
) -> None:
    page = html.unescape(browser("charlie").get("/api/v1/docs").text)
    for one in OPERATIONS:
        assert f'id="{one.name}"' in page
        assert one.summary in page
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in page
    assert " style=" not in page
    for script in page.split("<script")[1:]:
        assert "src=" in script.split(">")[0]


def test_reference_page_and_document_are_for_those_who_are_known(app: Flask) -> None:
    for path in ("/docs", "/openapi.json"):
        assert Program(app, None).get(path).status_code == 401


def operations_table() -> str:
    """The table that docs/api.md holds, in the order of the declarations."""
    rows = ["| operation | | role | scope |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{one.method} {one.path}` | {one.summary} | {one.right} | {scope_for(one.right)} |"
        for one in OPERATIONS
    ]
    return "\n".join(rows)


def test_page_of_the_api_has_each_operation() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    assert operations_table() in page, f"docs/api.md should hold\n\n{operations_table()}"
