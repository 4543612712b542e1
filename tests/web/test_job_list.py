"""The list of jobs: order, filters, search, pages, counts."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from portal.db.session import session, write
from portal.models import Job, JobCount
from portal.services.jobs import listing
from portal.transfers.states import JobStatus
from tests.support.client import Browser

Fill = Callable[..., None]


@pytest.fixture
def add(user: Any) -> Fill:
    """Adds rows as they are after a long history: one for each status named."""

    def add(*statuses: str, name: str = "Nightly", source: str = "/in") -> None:
        owner = user("bob").id
        with write() as tx:
            for status in statuses:
                values = {"name": name, "source": source, "destination": "/out", "owner_id": owner}
                tx.execute(
                    insert(Job).values(operation="copy", status=status, current_files=[], **values)
                )
                tx.execute(
                    update(JobCount).where(JobCount.status == status).values(jobs=JobCount.jobs + 1)
                )
            tx.commit()
        session.remove()

    return add


@pytest.fixture
def charlie(browser: Callable[..., Browser]) -> Browser:
    return browser("charlie")


def ids(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<li class="job" id="job-(\d+)"', page)]


def chips(page: str) -> dict[str, int]:
    found = re.findall(r'<a class="chip"[^>]*>(\w+) <span>([\d,]+)</span></a>', page)
    return {name: int(number.replace(",", "")) for name, number in found}


def test_running_jobs_stand_on_top_then_the_newest(add: Fill, charlie: Browser) -> None:
    add("running", "completed", "cancelling", "queued", "failed", "running", "cancelled")
    assert ids(charlie.get("/jobs").text) == [6, 3, 1, 7, 5, 4, 2]


def test_empty_list_says_so(charlie: Browser) -> None:
    page = charlie.get("/jobs").text
    assert "No transfers yet." in page
    assert ids(page) == []


def test_line_below_the_title_says_what_the_page_is_about(
    browser: Any, new_job: Any, execute: Any, root: Path
) -> None:
    def line() -> str:
        found = re.search(r'id="jobs-line">([^<]*)<', browser("charlie").get("/jobs").text)
        assert found is not None
        return found.group(1)

    assert line() == "No job is running"
    new_job()
    execute(new_job(source=root / "missing"))
    assert line() == "1 queued, 1 failed today"


def test_each_filter_shows_its_jobs_and_its_chip_counts_them(add: Fill, charlie: Browser) -> None:
    add(*["completed"] * 3, *["failed"] * 2, "queued", "running", "cancelling", "interrupted")
    expected = {
        "completed": [3, 2, 1],
        "failed": [5, 4],
        "queued": [6],
        "running": [8, 7],  # what is being cancelled still runs
        "cancelling": [8],
        "interrupted": [9],
        "cancelled": [],
    }
    for status, wanted in expected.items():
        page = charlie.get(f"/jobs?status={status}").text
        assert ids(page) == wanted
        told = chips(page)
        assert told["All"] == 9
        if status != "cancelling":
            assert told[status.capitalize()] == len(wanted)
    assert "No cancelled jobs." in charlie.get("/jobs?status=cancelled").text


def test_counters_tell_the_same_as_the_chips(add: Fill, charlie: Browser) -> None:
    add("completed", "completed", "failed")
    assert chips(charlie.get("/jobs").text)["Completed"] == 2
    assert listing.counts() == dict.fromkeys(JobStatus, 0) | {"completed": 2, "failed": 1}


def test_search_finds_name_source_and_destination_in_any_case(add: Fill, charlie: Browser) -> None:
    add("completed", name="Photos")
    add("completed", source="/srv/PHOTOS/2026")
    add("completed", name="Mail")
    assert ids(charlie.get("/jobs?q=photos").text) == [2, 1]
    assert ids(charlie.get("/jobs?q=%20photos%20").text) == [2, 1]
    assert ids(charlie.get("/jobs?q=/out").text) == [3, 2, 1]
    assert ids(charlie.get("/jobs?q=photos&status=failed").text) == []


def test_wildcards_and_quotes_of_a_search_stand_for_themselves(add: Fill, charlie: Browser) -> None:
    for name in ("100%", "100 percent", "a_b", "axb", "a\\b", "a/b", "it's"):
        add("completed", name=name)
    for text, wanted in {
        "100%25": [1],
        "%25": [1],
        "_": [3],
        "a_b": [3],
        "\\": [5],
        "a/b": [6],
        "'": [7],
        "' OR 1=1 --": [],
        "[a]": [],
        "a%00_b": [3],
        "%FF": [],
    }.items():
        answer = charlie.get(f"/jobs?q={text}")
        assert (answer.status_code, ids(answer.text)) == (200, wanted), text


def test_search_without_a_match_offers_the_way_back(add: Fill, charlie: Browser) -> None:
    add("completed")
    page = html.unescape(charlie.get("/jobs?q=<b>&status=completed").text)
    assert "Nothing matches “<b>” among these." in page
    assert "Clear the search" in page


def test_pages_hold_every_job_once_also_below_many_running_ones(
    add: Fill, charlie: Browser
) -> None:
    add(*["completed"] * 40, *["running"] * 30, *["failed"] * 5)
    pages = [ids(charlie.get(f"/jobs?page={number}").text) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [25, 25, 25]
    assert pages[0] + pages[1][:5] == list(range(70, 40, -1))
    assert pages[1][5:10] == list(range(75, 70, -1))
    assert sorted(pages[0] + pages[1] + pages[2]) == list(range(1, 76))


def test_pages_keep_filter_and_search(add: Fill, charlie: Browser) -> None:
    add(*["completed"] * 30, name="Photos")
    page = html.unescape(charlie.get("/jobs?status=completed&q=photos").text)
    links = re.findall(r'href="(/jobs\?[^"]*page=2[^"]*)"', page)
    assert links
    assert ids(charlie.get(links[0]).text) == [5, 4, 3, 2, 1]


def test_page_beyond_the_last_shows_the_last(add: Fill, charlie: Browser) -> None:
    add(*["completed"] * 30)
    assert ids(charlie.get("/jobs?page=999").text) == [5, 4, 3, 2, 1]


def test_what_is_no_page_status_or_job_is_not_found(add: Fill, charlie: Browser) -> None:
    add("completed")
    for path in (
        *("/jobs?page=-1", "/jobs?page=0", "/jobs?page=x", "/jobs?page=1.5", "/jobs?page="),
        *("/jobs?page=99999999999999999999", "/jobs?page=%D9%A1", "/jobs?status=done"),
        *("/jobs?status=Running", "/jobs/0", "/jobs/2", "/jobs/-1", "/jobs/x"),
        *(f"/jobs/{2**63}", f"/jobs/{2**70}", f"/api/jobs/{2**70}/progress"),
    ):
        answer = charlie.get(path)
        assert answer.status_code == 404, path
        assert "Page not found" in answer.text


def test_job_that_is_not_there_cannot_be_cancelled_or_retried(browser: Any) -> None:
    alice = browser("alice")
    for path in (f"/jobs/{2**70}/cancel", f"/jobs/{2**70}/retry", "/jobs/2/cancel"):
        assert alice.post(path).status_code == 404


def test_list_wants_a_signed_in_reader(browser: Any, root: Path) -> None:
    assert browser().get("/jobs?q=x").location == "/login?next=/jobs?q%3Dx"
