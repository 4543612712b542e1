"""The jobs that ended, for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from portal.db.session import session, write
from tests.support import histories
from tests.support.histories import ended

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def filled(app: Flask, user: Any) -> None:
    bob = user("bob").id
    rows = [
        ended(n, NOON + timedelta(days=n), owner_id=bob if n > 3 else 1, bytes_transferred=n)
        for n in range(1, 8)
    ]
    rows[6]["status"] = "failed"
    with write() as tx:
        histories.write(tx, rows)
        tx.commit()
    session.remove()


@pytest.fixture
def reader(program: Any) -> Any:
    return program("charlie")


def ids(answer: Any) -> list[int]:
    return [job["id"] for job in answer.json["items"]]


def test_program_reads_the_history_page_by_page(reader: Any) -> None:
    answer = reader.get("/history?per_page=3")
    assert (answer.status_code, ids(answer), answer.json["older"]) == (200, [7, 6, 5], 5)
    seen = ids(answer)
    while "Link" in answer.headers:
        path = answer.headers["Link"].removeprefix("</api/v1").partition(">")[0]
        answer = reader.get(path)
        seen += ids(answer)
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert answer.json["older"] is None


def test_totals_are_of_all_that_matches(reader: Any) -> None:
    told = reader.get("/history?per_page=1&user=bob&from=2026-11-25&to=2026-11-27").json
    assert [job["id"] for job in told["items"]] == [7]
    assert told["totals"] == {
        "completed": {"jobs": 2, "bytes_moved": 11, "files": 2400, "seconds": 120},
        "failed": {"jobs": 1, "bytes_moved": 7, "files": 1200, "seconds": 60},
        "cancelled": {"jobs": 0, "bytes_moved": 0, "files": 0, "seconds": 0},
        "interrupted": {"jobs": 0, "bytes_moved": 0, "files": 0, "seconds": 0},
        "different": {"jobs": 0, "bytes_moved": 0, "files": 0, "seconds": 0},
    }
    assert ids(reader.get("/history?status=failed")) == [7]
    assert ids(reader.get("/history?remote=local&to=2026-11-22")) == [2, 1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=x", "from"),
        ("to=2026-13-01", "to"),
        ("from=2026-11-22&to=2026-11-21", "to"),
        ("user=nobody", "user"),
        ("remote=7", "remote"),
        ("status=running", "status"),
        ("before=0", "before"),
        ("before=x", "before"),
        ("per_page=101", "per_page"),
        ("color=red", "color"),
    ],
)
def test_wrong_question_is_refused_by_its_field(reader: Any, query: str, field: str) -> None:
    answer = reader.get(f"/history?{query}")
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]
