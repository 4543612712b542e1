"""The history as a file: what stands in it, and that its length costs neither memory nor others."""

from __future__ import annotations

import csv
import io
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import event

from portal.db import session as database
from portal.db.session import session, write
from portal.models import User
from portal.services import audit
from portal.services.actor import Actor
from portal.services.jobs import history
from portal.services.jobs.history import HistoryFilter
from tests.support import histories
from tests.support.applications import engine_of
from tests.support.client import Browser
from tests.support.histories import ended
from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, with_users
from tests.support.waiting import wait_for

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG, SHORT = 100_000, 1_000


def fill(*rows: histories.Row) -> None:
    with write() as tx:
        histories.write(tx, rows)
        tx.commit()
    session.remove()


@pytest.fixture
def charlie(app: Flask, browser: Callable[..., Browser]) -> Browser:
    return browser("charlie")


def table(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


# --- what stands in it --------------------------------------------------------------------------


def test_file_holds_each_job_exactly(charlie: Browser, user: Any) -> None:
    fill(
        ended(
            1,
            NOON + timedelta(milliseconds=250),
            owner_id=user("bob").id,
            bytes_transferred=2**53 + 1,
            created_at=NOON - timedelta(hours=1),
        ),
        ended(
            2,
            NOON + timedelta(days=1),
            status="cancelled",
            started_at=None,
            bytes_transferred=0,
            files_transferred=0,
        ),
        ended(3, NOON + timedelta(days=2), status="failed", error="The disk is full."),
    )
    answer = charlie.post("/history/export")
    assert answer.status_code == 200
    assert answer.content_type == "text/csv; charset=utf-8"
    disposition = answer.headers["Content-Disposition"]
    assert re.fullmatch(r"attachment; filename=history-\d{4}-\d\d-\d\d\.csv", disposition)
    third, second, first = table(answer)
    assert first == {
        "id": "1",
        "name": "Nightly photos 1",
        "operation": "copy",
        "dry_run": "no",
        "source": "/srv/data/photos/1",
        "destination": "/mnt/backup/photos/1",
        "status": "completed",
        "owner": "bob",
        "created_at": "2026-11-20T11:00:00.000Z",
        "started_at": "2026-11-20T11:59:00.250Z",
        "finished_at": "2026-11-20T12:00:00.250Z",
        "seconds": "60",
        "bytes": "9007199254740993",
        "files": "1200",
        "bytes_per_second": "150119987579016",
        "error": "",
        "links_left_out": "0",
        "specials_left_out": "0",
        "outcome": "",
        "unchanged": "0",
        "deleted": "0",
        "different": "",
        "compared_by": "",
    }
    assert (second["id"], second["started_at"], second["seconds"]) == ("2", "", "")
    assert (second["bytes"], second["bytes_per_second"]) == ("0", "")
    assert (third["id"], third["error"]) == ("3", "The disk is full.")


def test_file_of_an_empty_history_is_its_heading(charlie: Browser) -> None:
    text = charlie.post("/history/export").text
    assert text.startswith("id,name,operation,")
    assert text.count("\r\n") == 1


def test_file_holds_what_the_filter_lets_through_and_is_noted_with_it(
    charlie: Browser, user: Any
) -> None:
    charlie.post("/settings", {"timezone": "Asia/Tokyo"})
    fill(*(ended(n, NOON + timedelta(days=n), owner_id=user("bob").id) for n in range(1, 5)))
    form = {"from": "2026-11-22", "to": "2026-11-23", "user": "bob", "status": "completed"}
    assert [row["id"] for row in table(charlie.post("/history/export", form))] == ["3", "2"]
    noted = audit.page(audit.AuditFilter(action="history.export"), 1, 5)[0]
    assert [(one.actor, one.target, one.address) for one in noted] == [
        ("charlie", "csv", "127.0.0.1")
    ]
    assert noted[0].detail == "from 2026-11-22, to 2026-11-23, user bob, status completed"


@pytest.mark.parametrize(
    ("form", "code"),
    [({"from": "x"}, 422), ({"user": "nobody"}, 422), ({"status": "running"}, 404)],
)
def test_filter_that_is_wrong_is_refused_and_not_noted(
    charlie: Browser, form: Any, code: int
) -> None:
    assert charlie.post("/history/export", form).status_code == code
    assert audit.page(audit.AuditFilter(action="history.export"), 1, 1)[1] == 0


@pytest.mark.parametrize(
    "typed",
    ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "＝1", '"=1', "x\r\n=1", "a,b;c", "\u202e=1"],
)
def test_file_holds_no_formula_and_a_line_for_each_job(charlie: Browser, typed: str) -> None:
    fill(ended(1, NOON, name=typed, source=typed, destination=typed, error=typed))
    text = charlie.post("/history/export").text
    assert text.count("\r\n") == 2
    assert text.count("\n") == 2
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    for name in ("name", "source", "destination", "error"):
        assert not row[name].lstrip().startswith(("=", "+", "-", "@", "＝"))


def test_jobs_that_end_meanwhile_are_in_the_file_once_or_not_at_all(app: Flask, user: Any) -> None:
    fill(*(ended(n, NOON + timedelta(seconds=n)) for n in range(1, 1_301)))
    chunks = history.export(HistoryFilter(), "", actor=Actor(user("charlie")))
    seen = [line.id for line in next(chunks)]
    fill(*(ended(n, NOON + timedelta(days=n)) for n in range(2_000, 2_600)))
    seen += [line.id for lines in chunks for line in lines]
    assert seen == list(range(1_300, 0, -1))


def test_no_transaction_is_open_between_two_parts_and_none_is_asked_for_once_the_reader_is_gone(
    app: Flask, charlie: Browser, user: Any
) -> None:
    fill(*(ended(n, NOON + timedelta(seconds=n)) for n in range(1, 2_001)))
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        asked.append(arguments[2])

    token = charlie.token()
    engine = engine_of(app)
    event.listen(engine, "before_cursor_execute", note)
    answer = charlie.client.post("/history/export", data={"csrf_token": token}, buffered=False)
    parts = answer.iter_encoded()
    assert [len(next(parts).splitlines()) for _ in range(3)] == [1, 200, 200]
    assert not session().in_transaction()
    assert engine.pool.checkedout() == 0
    before = len(asked)
    answer.close()
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == before
    assert sum("FROM jobs" in statement for statement in asked) == 2


# --- what its length costs ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_portal(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    """A real portal with a long history: bob's, and a short one of charlie's."""
    server = with_users(tmp_path_factory.mktemp("long"), migrated, CopiedPortal)
    engine = database.connect(f"sqlite:///{server.data / 'portal.sqlite'}")
    owners = dict(session.execute(database.select(User.username, User.id)).all())
    fill(
        *(
            ended(n, NOON - timedelta(minutes=n), owner_id=owners["bob" if n > SHORT else "bella"])
            for n in range(1, LONG + 1)
        )
    )
    engine.dispose()
    server.start()
    yield server
    server.clean_up()


def memory(server: PortalServer) -> int:
    """Bytes that the process has in memory, the most so far since the last ``forget``."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def forget(server: PortalServer) -> None:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def processor_seconds(server: PortalServer) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def form_of(person: Person, **fields: str) -> dict[str, str]:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', person.get("/settings").text)
    assert found is not None
    return {"csrf_token": found[1], **fields}


def download(person: Person, **fields: str) -> Iterator[bytes]:
    answer = person.http.post(
        f"{person.server.url}/history/export", form_of(person, **fields), stream=True, timeout=60
    )
    assert answer.status_code == 200
    with answer:
        yield from answer.iter_content(65_536)


def test_long_history_needs_no_more_memory_than_a_short_one_and_others_are_served_meanwhile(
    long_portal: PortalServer,
) -> None:
    charlie, alice = Person(long_portal, "charlie"), Person(long_portal, "alice")
    assert alice.get("/history").status_code == 200
    lines = sum(part.count(b"\r\n") for part in download(charlie, user="bella"))
    assert lines == SHORT + 1
    forget(long_portal)
    before = memory(long_portal)

    parts = download(charlie)
    lines, waits = next(parts).count(b"\r\n"), []
    for number, part in enumerate(parts):
        lines += part.count(b"\r\n")
        if number % 20 == 0:
            begun = time.monotonic()
            assert alice.get("/readyz").status_code == 200
            waits.append(time.monotonic() - begun)
    assert lines == LONG + 1
    assert len(waits) > 5
    assert max(waits) < 5
    grown = memory(long_portal) - before
    assert grown < 8_000_000, "20 MB of text went through"


def test_others_are_served_while_a_reader_takes_its_time(long_portal: PortalServer) -> None:
    charlie, alice = Person(long_portal, "charlie"), Person(long_portal, "alice")
    parts = download(charlie)
    next(parts)  # and then it reads no more
    for path in ("/history", "/jobs", "/readyz"):
        assert alice.get(path).status_code == 200
    # The export holds no lock: somebody else writes.
    assert alice.post("/settings", theme="dark").status_code == 303
    parts.close()  # type: ignore[attr-defined]


def test_export_ends_when_its_reader_goes(long_portal: PortalServer) -> None:
    charlie = Person(long_portal, "charlie")
    form = form_of(charlie)
    body = urlencode(form)
    with socket.create_connection(("127.0.0.1", long_portal.port), timeout=20) as reader:
        reader.sendall(
            f"POST /history/export HTTP/1.1\r\nHost: 127.0.0.1:{long_portal.port}\r\n"
            f"Origin: {long_portal.url}\r\nCookie: {charlie.cookie}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
            f"\r\n{body}".encode()
        )
        assert reader.recv(4_096).startswith(b"HTTP/1.1 200")

    def rests() -> bool:
        begun = processor_seconds(long_portal)
        time.sleep(0.3)
        return processor_seconds(long_portal) - begun < 0.06

    # All of it would take seconds of processor time.
    used = processor_seconds(long_portal)
    wait_for(rests, 20)
    assert processor_seconds(long_portal) - used < 1.0
    assert "Traceback" not in long_portal.log
