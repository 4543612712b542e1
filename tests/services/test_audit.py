"""Who did what, when, from where: written in the transaction of the act, read by admins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from portal.db.session import session, write
from portal.models import AuditEntry, Job, LoginSession, Role, User, UserSettings
from portal.services import audit
from portal.services.accounts import users
from portal.services.actor import Actor
from portal.services.jobs import create
from portal.transfers.request import Transfer
from portal.transfers.states import Operation
from tests.support.users import PASSWORD


def entries(action: str) -> list[AuditEntry]:
    session.rollback()
    return session.query(AuditEntry).filter_by(action=action).order_by(AuditEntry.id).all()


def last(action: str) -> dict[str, Any]:
    entry = entries(action)[-1]
    names = ("actor", "target", "detail", "outcome", "address")
    return {name: getattr(entry, name) for name in names}


@pytest.fixture
def job(app: Flask, user: Callable[[str], User]) -> int:
    transfer = Transfer("Photos", Operation.COPY, "/from", "/to", None, False)
    with app.app_context():
        return create.create(transfer, actor=Actor(user("bob"), "10.0.0.7")).id


def test_sign_in_and_sign_out_are_noted(browser: Any, user: Any) -> None:
    browser("bob").post("/logout")
    expected = {
        "actor": "bob",
        "target": "",
        "detail": "",
        "outcome": "ok",
        "address": "127.0.0.1",
    }
    assert last("sign-in") == expected
    assert last("sign-out") == expected
    assert entries("sign-in")[-1].actor_id == user("bob").id


@pytest.mark.parametrize(
    ("name", "password"), [("bob", "wrong"), ("nobody", "wrong"), ("bella", PASSWORD)]
)
def test_refused_sign_in_is_noted_with_the_name_that_was_typed(
    browser: Any, user: Any, name: str, password: str
) -> None:
    users.set_active(user("bella").id, False, actor=Actor(user("alice")))
    assert browser().sign_in(name, password).status_code == 401
    assert last("sign-in") == {
        "actor": name,
        "target": "",
        "detail": "",
        "outcome": "refused",
        "address": "127.0.0.1",
    }
    assert entries("sign-in")[-1].actor_id is None


def test_acts_on_users_are_noted(browser: Any, user: Any) -> None:
    alice, number = browser("alice"), user("charlie").id
    alice.post("/users", {"username": "dora", "role": "viewer"})
    alice.post(f"/users/{number}/role", {"role": "operator"})
    alice.post(f"/users/{number}/disable")
    alice.post(f"/users/{number}/enable")
    alice.post(f"/users/{number}/reset-password")

    by_alice = {"actor": "alice", "outcome": "ok", "address": "127.0.0.1", "target": "charlie"}
    assert last("user.create") == {**by_alice, "target": "dora", "detail": "role viewer"}
    assert last("user.role") == {**by_alice, "detail": "viewer to operator"}
    for action in ("user.disable", "user.enable", "user.reset-password"):
        assert last(action) == {**by_alice, "detail": ""}


def test_changes_of_ones_own_are_noted_and_passwords_never(browser: Any) -> None:
    bob = browser("bob")
    bob.post("/settings", {"theme": "dark", "refresh_interval": "5"})
    bob.post("/settings/password", {"current_password": PASSWORD, "new_password": "secret canary"})
    assert last("settings.change")["detail"] == "refresh_interval=5, theme=dark"
    assert last("password.change")["target"] == "bob"
    everything = " ".join(
        f"{entry.actor} {entry.target} {entry.detail}" for entry in session.query(AuditEntry)
    )
    assert "canary" not in everything
    assert PASSWORD not in everything


def test_acts_on_jobs_are_noted(browser: Any, job: int) -> None:
    bob = browser("bob")
    bob.post(f"/jobs/{job}/cancel")
    bob.post(f"/jobs/{job}/retry")
    made = last("job.create")
    assert made["detail"] == "copy '/from' to '/to'"
    assert (made["target"], made["address"]) == (f"job {job}", "10.0.0.7")
    assert last("job.cancel")["target"] == f"job {job}"
    assert last("job.retry")["target"] == f"job {job + 1}"


def test_what_changes_nothing_writes_no_entry(browser: Any, user: Any, job: int) -> None:
    alice = browser("alice")
    alice.post(f"/users/{user('charlie').id}/role", {"role": "viewer"})
    alice.post(f"/users/{user('charlie').id}/enable")
    alice.post(f"/users/{user('alice').id}/disable")
    alice.post("/users", {"username": "bob", "role": "viewer"})
    alice.post("/settings", {"theme": "blue"})
    alice.post(f"/jobs/{job}/cancel")
    alice.post(f"/jobs/{job}/cancel")
    session.rollback()
    noted = [entry.action for entry in session.query(AuditEntry).order_by(AuditEntry.id)]
    made = ["user.create"] * 4
    assert noted == [*made, "job.create", "sign-in", "job.cancel"]


ACTS: dict[str, Callable[[Any, Any, int], Any]] = {
    "create": lambda alice, _user, _job: alice.post(
        "/users", {"username": "dora", "role": "viewer"}
    ),
    "role": lambda alice, user, _job: alice.post(
        f"/users/{user('charlie').id}/role", {"role": "operator"}
    ),
    "disable": lambda alice, user, _job: alice.post(f"/users/{user('charlie').id}/disable"),
    "reset": lambda alice, user, _job: alice.post(f"/users/{user('charlie').id}/reset-password"),
    "settings": lambda alice, _user, _job: alice.post("/settings", {"theme": "dark"}),
    "cancel": lambda alice, _user, job: alice.post(f"/jobs/{job}/cancel"),
    "sign-out": lambda alice, _user, _job: alice.post("/logout"),
    "sign-in": lambda alice, _user, _job: alice.sign_in("alice"),
}


def state() -> list[Any]:
    session.rollback()
    return [
        [(u.username, u.role, u.active, u.password_hash) for u in session.query(User)],
        [(s.theme, s.refresh_interval) for s in session.query(UserSettings)],
        [(j.id, j.status, j.seq) for j in session.query(Job)],
        [(s.id, s.token_hash) for s in session.query(LoginSession)],
    ]


@pytest.mark.parametrize("act", ACTS)
def test_act_whose_entry_cannot_be_written_does_not_happen(
    browser: Any, user: Any, job: int, act: str
) -> None:
    alice = browser("alice")
    session.execute(
        text(
            "CREATE TRIGGER full BEFORE INSERT ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit table is full'); END"
        )
    )
    session.commit()
    before = state()
    assert ACTS[act](alice, user, job).status_code == 500
    assert state() == before


def test_only_admins_read_the_trail(browser: Any) -> None:
    assert browser("alice").get("/audit").status_code == 200
    assert browser("bob").get("/audit").status_code == 403
    assert browser("charlie").get("/audit").status_code == 403


def test_what_was_typed_is_shown_escaped_and_on_one_line(browser: Any) -> None:
    browser().sign_in("<script>alert(1)</script>", "wrong")
    browser().sign_in("bob\n\x1b[2kroot", "wrong")
    page = browser("alice").get("/audit").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert "bob\\n\\x1b[2kroot" in page


def test_trail_is_paged_newest_first(browser: Any) -> None:
    with write() as tx:
        for number in range(120):
            audit.record(tx, "test", Actor(), target=f"entry {number}")
        tx.commit()
    alice = browser("alice")
    first, third = alice.get("/audit").text, alice.get("/audit?page=3").text
    assert first.index("entry 119") < first.index("entry 118")
    assert "entry 19<" not in first
    assert "entry 19<" in third
    assert alice.get("/audit?page=99").status_code in (200, 404)


def test_nobody_can_change_or_delete_an_entry_over_http(app: Flask) -> None:
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if "audit" in rule.rule
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == {("GET", "/audit"), ("POST", "/audit/export")}


def test_entry_outlives_a_change_of_role(browser: Any, user: Any) -> None:
    browser("charlie").post("/settings", {"theme": "dark"})
    users.change_role(user("charlie").id, Role.OPERATOR, actor=Actor(user("alice")))
    assert last("settings.change")["actor"] == "charlie"
