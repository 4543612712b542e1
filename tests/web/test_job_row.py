"""One row of a job, the same by whatever path it comes."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest

from portal.services.jobs import claims, reports, rescue
from portal.services.jobs.claims import Claim
from portal.services.jobs.reports import Ending
from tests.support.transfers import Recorder, fill, reading, tell

TOKEN = re.compile(r'(name="csrf_token" value=")[^"]*')
AGE = re.compile(r'(data-age=")[^"]*')
ROW = re.compile(r'<li class="job" id="job-(\d+)".*?</li>', re.DOTALL)
STATES = ("queued", "interrupted", "running", "cancelling", "completed", "failed", "cancelled")


@pytest.fixture
def job_in(new_job: Any, browser: Any) -> Any:
    """A job that came to a status on its way, with figures."""

    def make(status: str, **options: Any) -> int:
        if status == "interrupted":
            options["operation"] = "sync"
        job_id: int = new_job(name='A <b>"name"</b>', **options)
        if status == "cancelled":
            browser("bob").post(f"/jobs/{job_id}/cancel")
        if status in ("queued", "cancelled"):
            return job_id
        attempt = claims.claim(job_id, "test:1").attempt
        figures = reading(300_000, 1_000_000)
        tell(job_id, attempt, figures)
        if status == "cancelling":
            browser("bob").post(f"/jobs/{job_id}/cancel")
        if status == "interrupted":
            rescue.recover()
        if status in ("completed", "failed"):
            ending = Ending(status == "completed", None, 0)
            reports.finish(Claim(job_id, attempt), ending, figures)
        return job_id

    return make


def rows(page: str) -> dict[int, str]:
    """The rows of a page by job, without what differs from request to request."""
    found = {int(match[1]): match[0] for match in ROW.finditer(page)}
    return {job_id: AGE.sub(r"\1", TOKEN.sub(r"\1", row)) for job_id, row in found.items()}


def row(page: str) -> str:
    (one,) = rows(page).values()
    return one


def slots(fragment: str) -> dict[str, str]:
    found = re.findall(r'data-field="(\w+)">([^<]*)<', fragment)
    return {name: html.unescape(text) for name, text in found}


def test_row_is_the_same_in_list_page_dashboard_and_poll(browser: Any, job_in: Any) -> None:
    ids = {status: job_in(status) for status in STATES}
    for name in ("bob", "charlie"):
        reader = browser(name)
        listed, running = rows(reader.get("/jobs").text), rows(reader.get("/").text)
        assert running.keys() == {ids["running"], ids["cancelling"]}
        for status, job_id in ids.items():
            polled = reader.get(f"/api/jobs/{job_id}/progress").text.strip()
            assert (polled[:15], polled[-5:]) == ('<li class="job"', "</li>")
            assert f'data-status="{status}"' in polled
            shown = {listed[job_id], row(reader.get(f"/jobs/{job_id}").text)}
            shown |= {running[job_id]} if job_id in running else set()
            assert shown == {row(polled)}


@pytest.mark.parametrize("status", ["queued", "running"])
def test_click_answers_with_the_row_that_a_poll_brings(
    browser: Any, job_in: Any, status: str
) -> None:
    job_id = job_in(status)
    bob = browser("bob")
    clicked = bob.post(f"/jobs/{job_id}/cancel", headers={"HX-Request": "true"})
    assert clicked.status_code == 200
    assert row(clicked.text) == row(bob.get(f"/api/jobs/{job_id}/progress").text)
    again = bob.post(f"/jobs/{job_id}/cancel", headers={"HX-Request": "true"})
    assert row(again.text) == row(clicked.text)


def test_event_says_the_words_that_stand_in_the_row(
    browser: Any, job_in: Any, events: Recorder
) -> None:
    charlie = browser("charlie")
    for kind in ({}, {"dry_run": True}, {"operation": "check"}):
        for status in STATES[1:]:  # a job that was just created has had no such event
            job_id = job_in(status, **kind)
            last = events.of(job_id)[-1].data
            words = dict(last["display"])
            polled = html.unescape(charlie.get(f"/api/jobs/{job_id}/progress").text)
            shown = slots(polled)
            assert shown.pop("age") == ""
            if last.get("new_status"):
                assert f'data-tone="{words.pop("tone")}"' in polled
                assert f'icons.svg#{words.pop("icon")}"' in polled
            assert f'aria-valuetext="{words.pop("valuetext")}"' in polled
            assert {name: shown[name] for name in words} == words
            assert f'data-seq="{last["seq"]}"' in polled


def test_row_has_buttons_for_those_who_may_and_for_nobody_else(browser: Any, job_in: Any) -> None:
    ids = [job_in(status) for status in STATES]
    for name, may in {"bob": True, "alice": True, "bella": False, "charlie": False}.items():
        reader = browser(name)
        fragments = [reader.get(f"/api/jobs/{job_id}/progress").text for job_id in ids]
        for fragment in (*rows(reader.get("/jobs").text).values(), *fragments):
            assert ("<button" in fragment) == may
            assert ("/cancel" in fragment) == may
            assert ("csrf_token" in fragment) == may


def test_row_of_an_unknown_total_has_a_bar_without_a_value(browser: Any, new_job: Any) -> None:
    job_id = new_job()
    bob = browser("bob")
    assert re.search(r'<progress[^>]* value="0"', bob.get("/jobs").text)
    claims.claim(job_id, "test:1")
    assert not re.search(r"<progress[^>]* value=", bob.get("/jobs").text)
    tell(job_id, 1, reading(621, 1000))
    assert re.search(r'<progress[^>]* value="62.1"', bob.get("/jobs").text)


def test_names_that_are_long_or_odd_stay_in_their_place(
    browser: Any, new_job: Any, root: Path
) -> None:
    new_job(source=root / ("d" * 200) / "a\nb\u202e", destination=root / "to")
    page = browser("charlie").get("/jobs").text
    assert "\u202e" not in page
    assert "a\\nb\\u202e" in page


def test_what_a_job_came_to_is_the_same_by_every_door(
    browser: Any, new_job: Any, execute: Any, events: Recorder, root: Path
) -> None:
    fill(root / "from")
    sides = {"source": root / "from", "destination": root / "to"}
    ended = {}

    def end(name: str, **order: Any) -> None:
        ended[name] = new_job(**sides, **order)
        execute(ended[name])

    end("copied")
    end("nothing")
    end("equal", operation="check")
    fill(root / "to" / "old", files=2)
    (root / "from" / "file 1").write_text("changed")
    end("different", operation="check")
    end("would", operation="sync", dry_run=True)
    end("synced", operation="sync")
    came_to = {
        "copied": ("2.9 of 2.9 KiB", ""),
        "nothing": ("", "Nothing to copy: 3 files are there already"),
        "equal": ("3 files are the same", ""),
        "different": ("3 files differ", "1 different, 2 only at the destination, 2 the same"),
        "would": ("7 B would be copied", "Would copy 1, delete 2, leave 2"),
        "synced": ("7 of 7 B", "Copied 1, deleted 2, unchanged 2"),
    }
    charlie = browser("charlie")
    listed = rows(charlie.get("/jobs").text)
    for name, job_id in ended.items():
        last = events.of(job_id)[-1].data
        assert last["new_status"] == "completed"
        assert (last["display"]["bytes"], last["display"]["result"]) == came_to[name], name
        polled = charlie.get(f"/api/jobs/{job_id}/progress").text
        shown = slots(polled)
        assert (shown["bytes"], shown["result"]) == came_to[name], name
        page = charlie.get(f"/jobs/{job_id}").text
        assert listed[job_id] == row(polled) == row(page)
        assert ("Only at the destination" in page) == (name == "different")
        assert "This job failed" not in page
    figures = charlie.get("/api/dashboard/stats").text
    assert re.search(r"Failed today.*?>0<", figures, re.DOTALL)
