"""Tokens of programs: made and ended by their user, hashed, limited by scope and by role."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from portal.db.clock import now
from portal.db.session import session
from portal.models import ApiToken, AuditEntry, User
from portal.services.accounts import api_tokens, users
from portal.services.actor import Actor


def stored() -> list[ApiToken]:
    session.remove()
    return list(session.scalars(select(ApiToken).order_by(ApiToken.id)))


def shown_on(page: str) -> str:
    (found,) = set(re.findall(r"tp_[\w-]{43}", page))
    return found


def last(action: str) -> AuditEntry:
    session.remove()
    query = select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.id.desc())
    return session.scalars(query.limit(1)).one()


def set_role(name: str, role: str) -> None:
    session.execute(update(User).where(User.username == name).values(role=role))
    session.commit()
    session.remove()


def test_token_is_shown_once_and_opens_the_api(browser: Any, program: Any) -> None:
    bob = browser("bob")
    form = {"name": "Backup script", "scope": "operate", "expires": "30"}
    assert bob.post("/tokens", form).status_code == 303
    made = shown_on(bob.get("/tokens").text)
    assert made not in bob.get("/tokens").text
    asking = program()
    asking.text = made
    assert asking.get("/jobs").status_code == 200


def test_token_is_stored_as_its_hash_alone(browser: Any, app: Flask) -> None:
    bob = browser("bob")
    bob.post("/tokens", {"name": "Script", "scope": "read", "expires": "90"})
    made = shown_on(bob.get("/tokens").text)
    (row,) = stored()
    assert row.token_hash == hashlib.sha256(made.encode()).hexdigest()
    for table in ("api_tokens", "audit", "sessions"):
        for values in session.execute(text(f"SELECT * FROM {table}")):  # noqa: S608 - names of ours
            assert not any(made in str(value) for value in values), table


@pytest.mark.parametrize("days", [30, 90, 365])
def test_token_expires_after_the_days_that_were_chosen(browser: Any, days: int) -> None:
    browser("bob").post("/tokens", {"name": "Script", "scope": "read", "expires": str(days)})
    (row,) = stored()
    assert abs(row.expires_at - now() - timedelta(days=days)) < timedelta(minutes=1)


def test_token_expires_at_the_end_of_the_day_that_was_chosen_where_its_user_lives(
    browser: Any,
) -> None:
    bob = browser("bob")
    bob.post("/settings", {"timezone": "Pacific/Auckland"})
    day = (now() + timedelta(days=10)).date()
    bob.post(
        "/tokens", {"name": "Script", "scope": "read", "expires": "day", "day": day.isoformat()}
    )
    (row,) = stored()
    assert row.expires_at.date() == day
    assert row.expires_at.hour in (10, 11, 12)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"scope": ""}, "scope"),
        ({"scope": "admin"}, "scope"),
        ({"scope": "everything"}, "scope"),
        ({"expires": "9999"}, "expires"),
        ({"expires": "day"}, "day"),
        ({"expires": "day", "day": "2020-01-01"}, "day"),
        ({"expires": "day", "day": "9999-12-31"}, "day"),
        ({"expires": "day", "day": "0001-01-01"}, "day"),
        ({"expires": "day", "day": "tomorrow"}, "day"),
    ],
)
def test_wrong_field_is_said_beside_it_and_what_was_typed_stays(
    browser: Any, wrong: dict[str, str], field: str
) -> None:
    form = {"name": "Script", "scope": "operate", "expires": "30"} | wrong
    answer = browser("bob").post("/tokens", form)
    assert answer.status_code == 422
    assert re.findall(r'id="(\w+)-error-1"', answer.text) == [field]
    assert stored() == []


def test_page_offers_no_scope_above_the_role(browser: Any) -> None:
    offered = {
        name: re.findall(
            r'<option[^>]*value="(read|operate|admin)"', browser(name).get("/tokens").text
        )
        for name in ("charlie", "bob", "alice")
    }
    assert offered == {
        "charlie": ["read"],
        "bob": ["read", "operate"],
        "alice": ["read", "operate", "admin"],
    }


@pytest.mark.parametrize(
    ("name", "scope", "answers"),
    [
        ("alice", "admin", (200, 201, 200)),
        ("alice", "operate", (200, 201, 403)),
        ("alice", "read", (200, 403, 403)),
        ("bob", "operate", (200, 201, 403)),
        ("bob", "read", (200, 403, 403)),
        ("charlie", "read", (200, 403, 403)),
    ],
)
def test_token_does_what_its_scope_allows_and_no_more(
    program: Any, job_fields: Any, name: str, scope: str, answers: tuple[int, ...]
) -> None:
    asking = program(name, scope)
    assert (
        asking.get("/jobs").status_code,
        asking.post("/jobs", job_fields).status_code,
        asking.get("/users").status_code,
    ) == answers


def test_role_is_looked_at_at_each_use(program: Any, job_fields: Any) -> None:
    asking = program("bob", "operate")
    set_role("bob", "viewer")
    assert asking.get("/jobs").status_code == 200
    assert asking.post("/jobs", job_fields).status_code == 403
    set_role("bob", "admin")
    assert asking.post("/jobs", job_fields).status_code == 201
    assert asking.get("/users").status_code == 403, "a promotion widened the scope"


def test_admins_token_that_may_operate_does_not_cancel_jobs_of_others(
    program: Any, new_job: Any
) -> None:
    number = new_job("bob")
    assert program("alice", "operate").post(f"/jobs/{number}/cancel").status_code == 403
    assert program("alice", "admin").post(f"/jobs/{number}/cancel").status_code == 200


def test_expired_token_is_refused_and_says_so_in_the_list(
    browser: Any, program: Any, app: Flask
) -> None:
    asking = program("bob")
    session.execute(update(ApiToken).values(expires_at=now() - timedelta(seconds=1)))
    session.commit()
    answer = asking.get("/jobs")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "expired" in browser("bob").get("/tokens").text


def test_ended_token_is_refused_at_once(browser: Any, program: Any) -> None:
    asking = program("bob")
    bob = browser("bob")
    assert bob.post(f"/tokens/{stored()[0].id}/end").status_code == 303
    assert asking.get("/jobs").status_code == 401
    assert "is revoked" in bob.get("/tokens").text
    assert stored() == []


def test_token_of_another_user_is_404_and_lives_on(browser: Any, program: Any) -> None:
    asking = program("bob")
    number = stored()[0].id
    for other in ("bella", "alice", "charlie"):
        assert browser(other).post(f"/tokens/{number}/end").status_code == 404
        assert "bob&#39;s" not in browser(other).get("/tokens").text
    assert asking.get("/jobs").status_code == 200


@pytest.mark.parametrize("number", ["0", "999", str(2**31), str(2**70)])
def test_token_that_cannot_be_is_404(browser: Any, number: str) -> None:
    assert browser("bob").post(f"/tokens/{number}/end").status_code == 404


def test_disabling_the_user_ends_their_tokens_for_good(program: Any, user: Any) -> None:
    asking = program("bob")
    alice = user("alice")
    users.set_active(user("bob").id, False, actor=Actor(alice))
    assert asking.get("/jobs").status_code == 401
    users.set_active(user("bob").id, True, actor=Actor(alice))
    assert asking.get("/jobs").status_code == 401
    assert stored() == []


def test_last_use_is_noted_at_most_once_a_minute(program: Any, app: Flask) -> None:
    asking = program("bob")
    assert stored()[0].last_used_at is None
    asking.get("/jobs")
    first = stored()[0].last_used_at
    assert first is not None
    asking.get("/jobs")
    assert stored()[0].last_used_at == first
    session.execute(update(ApiToken).values(last_used_at=first - timedelta(seconds=61)))
    session.commit()
    asking.get("/jobs")
    assert stored()[0].last_used_at > first


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer tp_", "bearer tp_none", "Bearer é"]
)
def test_anything_but_a_good_token_is_401_even_with_a_good_cookie(
    browser: Any, header: str
) -> None:
    answer = browser("bob").get("/api/v1/jobs", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"


def test_token_opens_nothing_but_the_api(browser: Any, new_token: Any) -> None:
    headers = {"Authorization": f"Bearer {new_token('alice')}"}
    nobody = browser()
    for path in ("/", "/jobs", "/users", "/tokens", "/settings", "/api/v1", "/api/v1x"):
        assert nobody.get(path, headers=headers).status_code in (302, 404), path
    for path in ("/api/session", "/api/dashboard/stats", "/api/connection"):
        assert nobody.get(path, headers=headers).status_code == 401, path
    assert nobody.client.post("/jobs", headers=headers).status_code == 400
    assert nobody.get("/socket.io/?EIO=4&transport=websocket", headers=headers).status_code == 401


def test_token_leaves_no_cookie_and_no_session(program: Any) -> None:
    answer = program("bob").get("/jobs")
    assert "Set-Cookie" not in answer.headers
    assert session.scalar(text("SELECT count(*) FROM sessions")) == 0


def test_program_changes_things_without_a_csrf_token_and_a_cookie_does_not(
    browser: Any, program: Any, job_fields: Any
) -> None:
    assert program("bob").post("/jobs", job_fields).status_code == 201
    bob = browser("bob")
    refused = bob.client.post("/api/v1/jobs", json=job_fields)
    assert (refused.status_code, refused.content_type) == (400, "application/problem+json")
    # What a form of another site can send without asking the browser first.
    forged = bob.client.post("/api/v1/jobs", data='{"name":"x"}', content_type="text/plain")
    assert forged.status_code == 400
    sent = bob.client.post("/api/v1/jobs", json=job_fields, headers={"X-CSRFToken": bob.token()})
    assert sent.status_code == 201
    assert bob.get("/api/v1/jobs").status_code == 200


def test_making_and_ending_a_token_is_written_to_the_audit_log(browser: Any) -> None:
    bob = browser("bob")
    bob.post("/tokens", {"name": "Script", "scope": "read", "expires": "30"})
    made = last("token.create")
    assert (made.actor, made.target, made.outcome) == ("bob", "Script", "ok")
    assert "scope read" in made.detail
    bob.post(f"/tokens/{stored()[0].id}/end")
    assert (last("token.end").actor, last("token.end").target) == ("bob", "Script")


def test_act_of_a_program_is_in_the_audit_log_with_its_token(program: Any, job_fields: Any) -> None:
    asking = program("bob")
    assert asking.post("/jobs", job_fields).status_code == 201
    entry = last("job.create")
    assert (entry.actor, entry.target) == ("bob", "job 1")
    assert f"token {stored()[0].id}" in entry.detail


def test_service_gives_no_token_above_the_role_whatever_the_form_says(user: Any) -> None:
    with pytest.raises(api_tokens.Forbidden):
        api_tokens.create("x", "admin", now() + timedelta(days=1), actor=Actor(user("bob")))


def test_one_user_has_fifty_tokens_at_most(user: Any) -> None:
    end = now() + timedelta(days=1)
    for number in range(api_tokens.MAX_PER_USER):
        api_tokens.create(f"Script {number}", "read", end, actor=Actor(user("bob")))
    with pytest.raises(api_tokens.Invalid):
        api_tokens.create("One more", "read", end, actor=Actor(user("bob")))


def test_html_in_a_name_is_shown_as_text(browser: Any) -> None:
    bob = browser("bob")
    bob.post("/tokens", {"name": "<img src=x>", "scope": "read", "expires": "30"})
    assert "<img src=x>" not in bob.get("/tokens").text
