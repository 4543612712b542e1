"""The jobs that ended: what the page finds, what it adds up to, and at what cost."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, event, select, update

from portal.app import build_app
from portal.db import migrate
from portal.db import session as database
from portal.db.session import session, write
from portal.models import HistoryTotal, Job, JobEvent, Remote
from portal.services.actor import Actor
from portal.services.jobs import history, listing
from portal.services.jobs.history import HistoryFilter
from portal.services.jobs.totals import Total
from portal.services.runtime import Runtime
from portal.services.storage import remotes
from portal.settings import Settings, load_settings
from portal.transfers.states import ENDINGS, JobStatus
from tests.support import histories
from tests.support.applications import engine_of
from tests.support.client import Browser
from tests.support.histories import ended

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Fill = Callable[..., None]


@pytest.fixture
def fill(app: Flask) -> Fill:
    def fill(*rows: histories.Row) -> None:
        with write() as tx:
            histories.write(tx, rows)
            tx.commit()
        session.remove()

    return fill


@pytest.fixture
def charlie(browser: Callable[..., Browser]) -> Browser:
    return browser("charlie")


def ids(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<tr id="history-(\d+)"', page)]


def figures(page: str) -> dict[str, str]:
    """What the row of totals says, by its labels."""
    found = re.findall(
        r'figure-label">([\w ]+?)(?: <span class="figure-unit">([^<]*)</span>)?</div>\s*'
        r'<div class="figure-value">([^<]*)</div>',
        page,
    )
    return {label: f"{value} {unit}".strip() for label, unit, value in found}


def chips(page: str) -> dict[str, str]:
    return dict(re.findall(r'<a class="chip"[^>]*>(\w+) <span>([\d,]+)</span></a>', page))


def add_remote(name: str) -> int:
    made = Remote(name=name, backend="sftp", options={"host": "192.0.2.7"})
    session.add(made)
    session.commit()
    return made.id


# --- what it shows ------------------------------------------------------------------------------


def test_transfer_that_ended_is_there_with_what_it_moved(
    charlie: Browser, new_job: Any, execute: Any, root: Path
) -> None:
    done = new_job(name="Photos <b>")
    execute(done)
    failed = new_job(source=root / "missing", name="Scans")
    execute(failed)
    waits = new_job()
    page = charlie.get("/history").text

    assert ids(page) == [failed, done]
    assert f'href="/jobs/{waits}"' not in page
    assert "Photos &lt;b&gt;" in page
    moved = session.get_one(Job, done).bytes_transferred
    assert moved > 0
    assert figures(page)["Transfers"] == "2"
    assert figures(page)["Files"] == "3"
    assert chips(page) == {"All": "2", "Completed": "1", "Failed": "1", "Cancelled": "0"}
    assert history.total(HistoryFilter())[JobStatus.COMPLETED].bytes_moved == moved


def test_check_that_found_differences_is_an_answer_with_a_chip_of_its_own(
    charlie: Browser, new_job: Any, execute: Any, root: Path
) -> None:
    for name in ("to", "same"):
        (root / name).mkdir()
    execute(same := new_job(operation="check", source=root / "to", destination=root / "same"))
    execute(different := new_job(operation="check"))
    page = charlie.get("/history").text
    counts = {"All": "2", "Completed": "2", "Different": "1", "Failed": "0", "Cancelled": "0"}
    assert chips(page) == counts
    assert "3 files differ" in page
    only = charlie.get("/history?status=different").text
    assert (ids(only), figures(only)["Transfers"]) == ([different], "1")
    assert sorted(ids(charlie.get("/history?status=completed").text)) == [same, different]
    assert charlie.get("/history?status=unlike").status_code == 404
    shown = charlie.get(f"/jobs/{different}").text
    assert "This job failed" not in shown
    assert "Only at the source" in shown
    assert "file 2" in shown


def test_transfer_that_began_again_says_whose_figures_these_are(
    charlie: Browser, fill: Fill
) -> None:
    fill(ended(1, NOON, attempt=1), ended(2, NOON, attempt=2))
    once, again = charlie.get("/history").text.split('<tr id="history-1"')[::-1]
    assert "attempt" not in once
    assert "The figures include all attempts." in again
    assert "attempt 2</span>" in again


def test_job_that_was_cancelled_before_it_began_took_no_time(
    charlie: Browser, browser: Any, new_job: Any
) -> None:
    job_id = new_job()
    browser("bob").post(f"/jobs/{job_id}/cancel")
    page = charlie.get("/history").text
    assert ids(page) == [job_id]
    assert "did not start" in page
    assert figures(page)["Total time"] == "0 s"
    assert history.total(HistoryFilter())[JobStatus.CANCELLED] == Total(jobs=1)


def test_job_that_was_cancelled_long_after_its_worker_died_took_the_time_that_it_worked(
    browser: Any, new_job: Any, app: Flask
) -> None:
    job_id = new_job(operation="sync")
    begun = datetime.now(UTC) - timedelta(days=3)
    session.execute(
        update(Job).values(
            status=JobStatus.INTERRUPTED,
            started_at=begun,
            heartbeat_at=begun + timedelta(minutes=5),
        )
    )
    session.commit()
    browser("bob").post(f"/jobs/{job_id}/cancel")
    assert history.total(HistoryFilter())[JobStatus.CANCELLED].seconds == 300
    assert "5 min" in browser("charlie").get(f"/jobs/{job_id}").text.split("(took ")[1][:12]


def test_check_and_dry_run_move_nothing_rather_than_none(fill: Fill, charlie: Browser) -> None:
    fill(
        ended(1, NOON, operation="check", bytes_transferred=0, files_transferred=7),
        ended(2, NOON, operation="sync", dry_run=True, bytes_transferred=0, files_transferred=0),
        ended(3, NOON, bytes_transferred=0),
    )
    page = charlie.get("/history").text
    moved = re.findall(r'job-label">Moved</span> ([^<]+)</td>', page)
    assert moved == ["0 B", "–", "–"]
    assert "Dry run ·" in page


def test_empty_history_says_what_to_do_first(browser: Any, charlie: Browser) -> None:
    page = charlie.get("/history").text
    assert "No transfer has finished yet" in page
    assert 'href="/jobs"' in page.split("empty-note")[1]
    assert 'href="/jobs/new"' in browser("bob").get("/history").text.split("empty-note")[1]


def test_filter_that_nothing_matches_offers_the_way_back(fill: Fill, charlie: Browser) -> None:
    fill(ended(1, NOON))
    page = charlie.get("/history?status=failed").text
    assert "No finished transfers match." in page
    assert ">Clear the filter</a>" in page


def test_each_page_leads_to_the_history(charlie: Browser) -> None:
    for path in ("/", "/jobs", "/settings"):
        assert 'href="/history"' in charlie.get(path).text
    assert '"/history" aria-current="page">History' in charlie.get("/history").text


# --- filters ------------------------------------------------------------------------------------


@pytest.fixture
def filled(fill: Fill, user: Any) -> tuple[int, int]:
    """Two remotes, the second of them deleted since."""
    nas, gone = add_remote("nas"), add_remote("old-nas")
    bob, bella = user("bob").id, user("bella").id
    fill(
        ended(1, NOON, owner_id=bob),
        ended(2, NOON + timedelta(days=1), owner_id=bella, status="failed"),
        ended(3, NOON + timedelta(days=2), owner_id=bob, source_remote_id=nas, source="nas:a"),
        ended(4, NOON, owner_id=bob, destination_remote_id=nas, destination="nas:b"),
        ended(5, NOON, owner_id=bella, destination_remote_id=gone, destination="old-nas:c"),
        ended(6, NOON, source_remote_id=nas, destination_remote_id=nas, status="cancelled"),
    )
    session.execute(delete(Remote).where(Remote.id == gone))
    session.commit()
    return nas, gone


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [3, 2, 6, 5, 4, 1]),
        ("user=bob", [3, 4, 1]),
        ("status=failed", [2]),
        ("status=completed&user=bella", [5]),
        ("remote=NAS", [3, 6, 4]),
        ("remote=GONE", [5]),
        ("remote=local", [2, 1]),
        ("remote=NAS&user=bob&from=2026-11-22", [3]),
        ("from=2026-11-21", [3, 2]),
        ("to=2026-11-20", [6, 5, 4, 1]),
        ("from=2026-11-21&to=2026-11-21", [2]),
        ("to=2020-01-01", []),
        ("user=bob&status=failed", []),
        ("status=%20completed%20&user=", [3, 5, 4, 1]),
    ],
)
def test_filter_finds_what_it_says_and_adds_it_up(
    filled: tuple[int, int], charlie: Browser, query: str, found: list[int]
) -> None:
    query = query.replace("NAS", str(filled[0])).replace("GONE", str(filled[1]))
    page = charlie.get(f"/history?{query}").text
    assert ids(page) == found
    assert f"{len(found)} transfer" in page if found or query else True
    told = figures(page)
    assert told == {} if not found else told["Transfers"] == str(len(found))


def test_filter_by_remote_offers_those_that_are_gone(
    filled: tuple[int, int], charlie: Browser
) -> None:
    page = charlie.get("/history").text
    options = dict(re.findall(r'<option value="([^"]*)"[^>]*>([^<]*)</option>', page))
    nas, gone = map(str, filled)
    assert options[nas] == "nas"
    assert options[gone] == "old-nas (deleted)"
    assert options["local"] == "Local folders only"
    assert "old-nas:c" in re.sub(r"<[^>]+>", "", page)


def test_deleting_a_remote_leaves_its_transfers_readable(
    fill: Fill, browser: Any, charlie: Browser, user: Any
) -> None:
    nas = add_remote("nas")
    fill(ended(1, NOON, source_remote_id=nas, source="nas:photos"))
    remotes.delete(nas, actor=Actor(user("alice")))
    assert ids(charlie.get(f"/history?remote={nas}").text) == [1]
    # Another one of that name is another one.
    again = add_remote("nas")
    assert again != nas
    assert charlie.get(f"/history?remote={again}").status_code == 422


def test_days_are_those_of_the_readers_time_zone(fill: Fill, charlie: Browser) -> None:
    fill(ended(1, datetime(2026, 1, 1, 20, tzinfo=UTC)))
    charlie.post("/settings", {"timezone": "Asia/Kathmandu"})  # 5:45 ahead: the second of January
    page = charlie.get("/history?from=2026-01-02&to=2026-01-02").text
    assert ids(page) == [1]
    assert "2 Jan 2026, 01:45:00" in page
    assert figures(page)["Transfers"] == "1"
    assert ids(charlie.get("/history?to=2026-01-01").text) == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=yesterday", "Use a date such as"),
        ("to=9999-12-31", "Use a date such as"),
        ("from=2026-02-30", "Use a date such as"),
        ("from=2026-02-02&to=2026-02-01", "This date is before the first one."),
        ("user=mallory", "This user has no finished transfers."),
        ("user=%00", "This user has no finished transfers."),
        ("remote=nas", "No finished transfers from or to this remote."),
        ("remote=99999999999999999999", "No finished transfers from or to this remote."),
        ("remote=-1", "No finished transfers from or to this remote."),
        ("user=<script>", "This user has no finished transfers."),
    ],
)
def test_wrong_filter_is_said_beside_the_field_and_what_was_typed_stays(
    filled: tuple[int, int], charlie: Browser, query: str, words: str
) -> None:
    answer = charlie.get(f"/history?{query}")
    assert answer.status_code == 422
    name, value = query.rsplit("&", maxsplit=1)[-1].split("=")
    field = re.search(
        rf'id="{name}" name="{name}"[^>]*aria-describedby="{name}-error"', answer.text
    )
    assert field is not None
    assert words in answer.text.split(f'id="{name}-error"')[1][:120]
    assert "<tbody>" not in answer.text, "what is shown would look like what was asked for"
    assert "<script>" not in answer.text.split('id="content"')[1]
    if value.isascii() and "%" not in value:
        assert f'value="{html.escape(value)}"' in answer.text


def test_all_that_is_wrong_is_said_at_once(charlie: Browser) -> None:
    answer = charlie.get("/history?from=x&user=y&remote=z")
    assert re.findall(r'id="(\w+)-error"', answer.text) == ["from", "user", "remote"]


# --- pages --------------------------------------------------------------------------------------


def test_pages_hold_every_job_once_there_and_back(fill: Fill, charlie: Browser) -> None:
    # Many end in the same moment: then the number decides.
    fill(*(ended(number, NOON + timedelta(hours=number // 40)) for number in range(1, 131)))
    path, seen = "/history?status=completed", []
    while path:
        page = html.unescape(charlie.get(path).text)
        seen.append(ids(page))
        link = re.search(r'rel="next" href="([^"]+)"', page)
        path = link[1] if link else ""
        last = page
    assert [len(page) for page in seen] == [50, 50, 30]
    assert [number for page in seen for number in page] == list(range(130, 0, -1))
    back = re.search(r'rel="prev" href="([^"]+)"', last)
    assert back is not None
    assert "status=completed" in back[1]
    page = html.unescape(charlie.get(back[1]).text)
    assert ids(page) == seen[1]
    back = re.search(r'rel="prev" href="([^"]+)"', page)
    assert back is not None
    first = charlie.get(back[1]).text
    assert ids(first) == seen[0]
    assert 'rel="prev"' not in first


@pytest.mark.parametrize("status", ["running", "cancelling", "Completed", "%00", "x%27"])
def test_status_with_which_nothing_ends_is_not_found(charlie: Browser, status: str) -> None:
    assert charlie.get(f"/history?status={status}").status_code == 404


@pytest.mark.parametrize("query", ["before=x", "before=-1", "after=1.5", f"before={10**18}"])
def test_what_is_no_place_in_the_history_is_not_found(charlie: Browser, query: str) -> None:
    assert charlie.get(f"/history?{query}").status_code == 404


def test_place_of_a_job_that_is_not_there_or_not_over_shows_the_way_back(
    fill: Fill, charlie: Browser, new_job: Any
) -> None:
    fill(ended(1, NOON))
    for number in (new_job(), 999):
        answer = charlie.get(f"/history?before={number}")
        assert (answer.status_code, ids(answer.text)) == (200, [])
        assert ids(charlie.get(f"/history?after={number}").text) == [1]


# --- totals -------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def either(
    request: pytest.FixtureRequest, tmp_path: Path, root: Path, migrated: Path
) -> Iterator[Flask]:
    """The application on either database."""
    more: dict[str, Any] = {}
    if request.param == "postgresql":
        more["database_url"] = request.getfixturevalue("postgres_url")
    settings = load_settings(data_dir=tmp_path / "data", transfer_roots=(root,), **more)
    settings.prepare()
    if request.param == "sqlite":
        (settings.data_dir / "portal.sqlite").write_bytes(migrated.read_bytes())
    made = build_app(settings)
    with made.app_context():
        yield made
    database.session.remove()
    engine_of(made).dispose()


def some_jobs(chance: random.Random, number: int) -> list[histories.Row]:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        ended(
            index,
            first + timedelta(seconds=chance.randrange(120 * 86_400)),
            status=(status := chance.choice(ENDINGS)),
            operation="move" if status == JobStatus.INTERRUPTED else "copy",
            owner_id=chance.choice((1, 2, 3)),
            source_remote_id=chance.choice((None, None, 1, 2)),
            destination_remote_id=chance.choice((None, None, 1, 2)),
            bytes_transferred=chance.randrange(2**40),
            files_transferred=chance.randrange(1000),
        )
        for index in range(1, number + 1)
    ]


def matches(row: histories.Row, wanted: HistoryFilter) -> bool:
    sides = {row["source_remote_id"], row["destination_remote_id"]}
    return (
        (wanted.since is None or row["finished_at"] >= wanted.since)
        and (wanted.until is None or row["finished_at"] < wanted.until)
        and wanted.owner_id in (None, row["owner_id"])
        and (
            wanted.remote_id is None
            or (sides == {None} if wanted.remote_id == history.LOCAL else wanted.remote_id in sides)
        )
    )


def test_totals_are_the_sums_of_the_jobs_whatever_is_asked_for(either: Flask) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    rows = some_jobs(chance, 1_500)
    with write() as tx:
        histories.write(tx, rows)
        tx.commit()
    first = datetime(2025, 12, 28, tzinfo=UTC)
    for _ in range(60):
        start, end = sorted(chance.choices(range(130 * 96), k=2))
        wanted = HistoryFilter(
            since=chance.choice((None, first + timedelta(minutes=15 * start))),
            until=chance.choice((None, first + timedelta(minutes=15 * end))),
            owner_id=chance.choice((None, 2)),
            remote_id=chance.choice((None, 0, 1)),
        )
        found = [row for row in rows if matches(row, wanted)]
        for status, told in history.total(wanted).items():
            of_it = [row for row in found if row["status"] == status]
            assert told == Total(
                len(of_it),
                sum(row["bytes_transferred"] for row in of_it),
                sum(row["files_transferred"] for row in of_it),
                60 * len(of_it),
            ), wanted
        found.sort(key=lambda row: (row["finished_at"], row["id"]), reverse=True)
        assert [job.id for job in history.page(wanted, 2_000).jobs] == [row["id"] for row in found]
        exported = history._chunks(replace(wanted, status=JobStatus.FAILED))
        assert [line.id for lines in exported for line in lines] == [
            row["id"] for row in found if row["status"] == JobStatus.FAILED
        ]


def all_totals() -> list[tuple[Any, ...]]:
    columns = HistoryTotal.__table__.columns
    return sorted(tuple(row) for row in session.execute(select(*columns)))


def test_upgrade_of_an_older_portal_adds_up_what_had_ended_as_if_it_ended_now(
    either: Flask,
) -> None:
    settings: Settings = either.context[Runtime].settings
    chance = random.Random(11)  # noqa: S311 - no secret
    with write() as tx:
        histories.write(tx, some_jobs(chance, 400))
        tx.execute(update(Job).where(Job.id < 10).values(started_at=None))
        tx.execute(
            update(Job).where(Job.id > 390).values(heartbeat_at=Job.started_at)  # died at once
        )
        left = select(Job.id, Job.finished_at).where(Job.status == JobStatus.INTERRUPTED)
        for number, at in tx.execute(left).all():
            event_of = {"old_status": "running", "new_status": "interrupted", "seq": 3}
            tx.add(JobEvent(job_id=number, at=at, **event_of))
        tx.commit()
    with_seconds = {
        job.id: job.seconds or 0
        for job in session.scalars(select(Job).where((Job.id < 10) | (Job.id > 390)))
    }
    expected = all_totals()
    database.close()  # the migrations open the database for themselves, in its place
    migrate.downgrade(settings, "0009")
    migrate.upgrade(settings)
    engine = database.connect(settings.database_url)
    made = all_totals()
    session.remove()
    engine.dispose()
    # All but the seconds of the few above, which the helper knows nothing of.
    assert [row[:-1] for row in made] == [row[:-1] for row in expected]
    less = sum(row[-1] for row in expected) - sum(row[-1] for row in made)
    assert less == 3 * sum(60 - seconds for seconds in with_seconds.values())
    assert less == 3 * 60 * 9


def test_jobs_that_end_are_added_to_what_is_there(
    app: Flask, new_job: Any, execute: Any, fill: Fill
) -> None:
    execute(new_job())
    before = history.total(HistoryFilter())[JobStatus.COMPLETED]
    execute(new_job())
    after = history.total(HistoryFilter())[JobStatus.COMPLETED]
    assert (before.jobs, after.jobs) == (1, 2)
    ended_jobs = session.scalars(select(Job)).all()
    assert after.bytes_moved == sum(job.bytes_transferred for job in ended_jobs) > 0
    assert len(all_totals()) in (3, 4), "a quarter, a day and a month, or the quarter just turned"


# --- cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        HistoryFilter(),
        HistoryFilter(since=NOON),
        HistoryFilter(since=NOON, until=NOON + timedelta(days=9)),
        HistoryFilter(owner_id=2),
        HistoryFilter(status=JobStatus.FAILED, since=NOON),
        HistoryFilter(remote_id=1),
        HistoryFilter(remote_id=1, until=NOON),
    ],
)
def test_jobs_are_found_along_an_index_and_never_sorted(app: Flask, wanted: HistoryFilter) -> None:
    plans: list[str] = []

    def explain(conn: Any, cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "FROM jobs" in statement and not statement.startswith("EXPLAIN"):
            driver = conn.connection.driver_connection
            steps = driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.append("; ".join(step[3] for step in steps))

    engine = engine_of(app)
    event.listen(engine, "before_cursor_execute", explain)
    with app.app_context():
        history.page(wanted, 50)
        list(history._chunks(wanted))
    event.remove(engine, "before_cursor_execute", explain)
    assert plans
    for plan in plans:
        assert re.search(r"jobs USING INDEX ix_jobs_\w*history", plan), plan
        assert "TEMP B-TREE" not in plan, plan


def test_totals_read_a_few_rows_of_each_month_however_many_jobs_there_were(app: Flask) -> None:
    with write() as tx:
        histories.write(tx, [ended(n, NOON - timedelta(minutes=5 * n)) for n in range(1, 20_001)])
        tx.commit()
    rows = session.scalars(select(HistoryTotal).where(HistoryTotal.span == "month")).all()
    assert len(rows) == 3
    assert sum(row.jobs for row in rows) == 20_000
    assert listing.counts()[JobStatus.COMPLETED] == 0, "nothing was read from there"
