"""The page of the audit log: what it finds, and what leaves as a file."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from portal.db.session import session, write
from portal.models import AuditEntry
from portal.services import audit
from portal.services.accounts import users
from portal.services.actor import Actor


def note(action: str, *, name: str = "", **more: str) -> None:
    with write() as tx:
        audit.record(tx, action, Actor(alias=name), **more)
        tx.commit()


def rows(page: str) -> list[str]:
    """What each row of the page is about."""
    return [row.split("</tr>")[0] for row in page.split("<tbody>")[1].split("<tr>")[1:]]


# --- filters ------------------------------------------------------------------------------------


@pytest.fixture
def alice(app: Flask, browser: Any) -> Any:
    note("job.create", name="bob", target="job 1")
    note("job.cancel", name="bob", target="job 2")
    note("sign-in", name="mallory", target="mallory 3", outcome="refused")
    return browser("alice")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("who=bob", {"job 1", "job 2"}),
        ("who=BO", {"job 1", "job 2"}),
        ("who=%25", set()),
        ("action=job.cancel", {"job 2"}),
        ("outcome=refused", {"mallory 3"}),
        ("who=bob&action=job.create&outcome=ok", {"job 1"}),
        ("who=nobody", set()),
        ("from=2020-01-01&to=2099-01-01&who=bob", {"job 1", "job 2"}),
        ("to=2020-01-01", set()),
        ("from=2099-01-01", set()),
        ("who=%00bob", {"job 1", "job 2"}),
    ],
)
def test_filter_finds_what_it_says(alice: Any, query: str, found: set[str]) -> None:
    page = alice.get(f"/audit?{query}").text
    assert {word for word in ("job 1", "job 2", "mallory 3") if f"<td>{word}</td>" in page} == found
    assert ("No entries match" in page) == (not found)


def test_days_are_those_of_the_readers_time_zone(alice: Any) -> None:
    session.add(
        AuditEntry(
            id=900, hash="", action="test", target="late", at=datetime(2026, 1, 1, 20, tzinfo=UTC)
        )
    )
    session.commit()
    alice.post("/settings", {"timezone": "Asia/Tokyo"})  # there it was the second of January
    assert "<td>late</td>" in alice.get("/audit?from=2026-01-02&to=2026-01-02").text
    assert "<td>late</td>" not in alice.get("/audit?to=2026-01-01").text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=yesterday", "Use a date such as"),
        ("to=9999-12-31", "Use a date such as"),
        ("from=2026-02-30", "Use a date such as"),
        ("from=2026-02-02&to=2026-02-01", "This date is before the first one."),
    ],
)
def test_wrong_day_is_said_beside_the_field_and_what_was_typed_stays(
    alice: Any, query: str, words: str
) -> None:
    answer = alice.get(f"/audit?{query}&who=bob")
    assert answer.status_code == 422
    assert words in answer.text
    assert 'name="who" value="bob"' in answer.text
    assert "<tbody>" not in answer.text, "what is shown would look like what was asked for"


def test_pages_keep_the_filter(alice: Any) -> None:
    with write() as tx:
        for number in range(60):
            audit.record(tx, "test", Actor(alias="charlie"), target=f"entry {number}")
        tx.commit()
    page = alice.get("/audit?who=charlie").text
    assert len(rows(page)) == 50
    assert "page=2&amp;who=charlie" in page
    assert len(rows(alice.get("/audit?page=2&who=charlie").text)) == 10


def test_every_action_that_was_noted_can_be_chosen(alice: Any) -> None:
    page = alice.get("/audit").text
    for action in ("job.cancel", "job.create", "sign-in", "user.create"):
        assert f'<option value="{action}">' in page
    assert audit.actions() == sorted(set(audit.actions()))


# --- export -------------------------------------------------------------------------------------


def test_export_as_json_lines_holds_every_entry_with_its_hash(alice: Any) -> None:
    answer = alice.post("/audit/export", {"format": "jsonl"})
    assert answer.status_code == 200
    assert answer.mimetype == "application/jsonl"
    assert f"audit-{datetime.now(UTC):%Y}" in answer.headers["Content-Disposition"]
    entries = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["id"] for one in entries] == list(range(1, len(entries) + 1))
    assert entries[-1]["action"] == "audit.export", "the export notes itself, and says so"

    # Whoever has the file can check it without the portal.
    before = "0" * 64  # of the very first entry
    for one in entries:
        written = AuditEntry(**{**one, "at": datetime.fromisoformat(one["at"])})
        assert audit.hash_of(written, before) == one["hash"]
        before = one["hash"]


def test_export_holds_what_the_filter_lets_through_and_is_noted_with_it(alice: Any) -> None:
    answer = alice.post("/audit/export", {"format": "jsonl", "who": "bob", "from": "2026-01-01"})
    assert {json.loads(line)["actor"] for line in answer.text.splitlines()} == {"bob"}
    noted = audit.page(audit.AuditFilter(action="audit.export"), 1, 1)[0][0]
    assert (noted.actor, noted.target, noted.address) == ("alice", "jsonl", "127.0.0.1")
    assert noted.detail == "actor bob, since 2026-01-01 00:00:00+00:00"


@pytest.mark.parametrize(
    "typed",
    [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1+1",
        "\r=1+1",
        " =1+1",
        "\n=1+1",
        "＝1+1",
        '"=1+1',
        "x\r\n=1+1",
        "a,b;c\td",
    ],
)
def test_export_as_csv_holds_no_formula_and_a_line_for_each_entry(alice: Any, typed: str) -> None:
    note("test", name=typed, target=typed, detail=typed)
    text = alice.post("/audit/export", {"format": "csv", "action": "test"}).text
    heading, row = list(csv.reader(io.StringIO(text)))
    assert heading[:4] == ["id", "at", "actor_id", "actor"]
    assert text.count("\r\n") == 2
    for cell in (row[3], row[5], row[6]):
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝"))
        assert "\n" not in cell
        assert "\t" not in cell


@pytest.mark.parametrize("form", [{}, {"format": "xls"}, {"format": "csv", "from": "nonsense"}])
def test_export_that_cannot_be_is_refused_and_not_noted(alice: Any, form: dict[str, str]) -> None:
    assert alice.post("/audit/export", form).status_code == 422
    assert audit.page(audit.AuditFilter(action="audit.export"), 1, 1)[1] == 0


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_export_of_a_long_log_needs_no_more_memory_than_a_page_of_it(alice: Any, form: str) -> None:
    with write() as tx:
        for number in range(6_000):
            audit.record(tx, "test", Actor(), target=f"entry {number}", detail="x" * 1_000)
        tx.commit()
    token = alice.token()
    session.remove()
    tracemalloc.start()
    answer = alice.client.post(
        "/audit/export", data={"csrf_token": token, "format": form}, buffered=False
    )
    length = sum(len(part) for part in answer.iter_encoded())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    answer.close()
    assert length > 6_000_000
    assert peak < 4_000_000


def test_entry_keeps_the_name_of_a_user_who_is_gone(app: Flask, browser: Any, user: Any) -> None:
    browser("charlie").post("/settings", {"theme": "dark"})
    number = user("charlie").id
    users.set_active(number, False, actor=Actor(user("alice")))
    assert audit.page(audit.AuditFilter(actor="charlie", action="settings.change"), 1, 1)[1] == 1
    assert timedelta(0) < datetime.now(UTC) - audit.page(audit.AuditFilter(), 1, 1)[0][0].at
