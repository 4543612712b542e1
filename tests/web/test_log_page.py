"""The log of a job as people see it: on the job's page, page by page, live, and as a file."""

from __future__ import annotations

import html
import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from portal.db.session import session
from portal.models import Job, JobLog
from portal.services.jobs import log_reading, logs
from portal.transfers.states import JobStatus
from portal.web.routes import job_logs as routes
from tests.support.job_logs import LoggedLine, begun, kept, lines


def shown(page: str) -> list[str]:
    """The text of each line or gap of a log in a page."""
    found = re.findall(r'<div class="log-(?:line|gap)".*?</div>', page)
    return [html.unescape(re.sub(r"<[^>]*>", " ", one)).strip() for one in found]


def line_numbers(page: str) -> list[int]:
    return [int(one) for one in re.findall(r'class="log-number">(\d+)<', page)]


def end_job(job_id: int, status: JobStatus = JobStatus.COMPLETED) -> None:
    session.remove()
    session.get_one(Job, job_id).status = status
    session.commit()
    session.remove()


@pytest.fixture
def job_id(new_job: Callable[..., int]) -> int:
    return new_job()


@pytest.fixture
def charlie(browser: Any) -> Any:
    return browser("charlie")


# --- the page of the job ------------------------------------------------------------------------


def test_job_page_shows_the_end_of_the_log_and_goes_on_asking(charlie: Any, job_id: int) -> None:
    kept(job_id, lines(1_000))
    page = charlie.get(f"/jobs/{job_id}").text
    assert line_numbers(page) == list(range(801, 1_001))
    assert f'hx-get="/api/jobs/{job_id}/log?after=1000"' in page
    assert 'hx-trigger="every 3s"' in page, "it is queued: nothing comes soon"
    end_job(job_id)
    page = charlie.get(f"/jobs/{job_id}").text
    assert line_numbers(page)[-1] == 1_000
    assert f"/api/jobs/{job_id}/log" not in page, "the log of a job that has ended is complete"


def test_page_says_what_there_is_instead_of_a_log(charlie: Any, job_id: int) -> None:
    path = f"/jobs/{job_id}/log"
    assert "The log starts when the job does." in charlie.get(path).text
    end_job(job_id)
    assert "Nothing was logged." in charlie.get(f"/jobs/{job_id}").text
    kept(job_id, lines(3))
    log = session.get_one(JobLog, job_id)
    log.removed_at = log_reading.about(job_id) and session.get_one(Job, job_id).created_at
    session.commit()
    for page in (path, f"/jobs/{job_id}"):
        assert "This log reached its age limit and was removed on" in charlie.get(page).text


# --- the tail -----------------------------------------------------------------------------------


def test_tail_gives_each_line_once_and_nothing_where_nothing_is_new(
    charlie: Any, job_id: int
) -> None:
    tail = kept(job_id, lines(5))
    address = f"/api/jobs/{job_id}/log"
    assert line_numbers(charlie.get(f"{address}?after=0").text) == [1, 2, 3, 4, 5]
    nothing = charlie.get(f"{address}?after=5")
    assert (nothing.status_code, nothing.data) == (204, b"")
    logs.append_lines(tail, lines(2, 6))
    logs.save(tail)
    answer = charlie.get(f"{address}?after=5")
    assert line_numbers(answer.text) == [6, 7]
    assert f'hx-get="{address}?after=7"' in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_tail_ends_when_the_job_has_ended(charlie: Any, job_id: int) -> None:
    kept(job_id, lines(5))
    end_job(job_id)
    last = charlie.get(f"/api/jobs/{job_id}/log?after=3").text
    assert line_numbers(last) == [4, 5]
    assert "hx-get" not in last
    assert "hx-get" not in charlie.get(f"/api/jobs/{job_id}/log?after=5").text


def test_tail_that_is_behind_shows_the_newest_and_says_what_it_leaves_out(
    charlie: Any, job_id: int
) -> None:
    kept(job_id, lines(5_000))
    answer = charlie.get(f"/api/jobs/{job_id}/log?after=10").text
    assert line_numbers(answer) == list(range(4_801, 5_001))
    assert "4,790 lines were skipped" in answer
    assert f'href="/jobs/{job_id}/log?from=11"' in answer


def test_tail_of_a_filter_goes_on_with_the_filter(charlie: Any, job_id: int) -> None:
    said = [*lines(300), LoggedLine("b&d", message="broken", level="error"), *lines(10)]
    kept(job_id, said)
    answer = charlie.get(f"/api/jobs/{job_id}/log?after=0&level=error&q=b%26d").text
    assert line_numbers(answer) == [301]
    assert "after=311&amp;level=error&amp;q=b%26d" in answer


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=1e3", "after=" + "9" * 20, "level=7"]
)
def test_tail_refuses_what_is_no_line_or_level(charlie: Any, job_id: int, query: str) -> None:
    assert charlie.get(f"/api/jobs/{job_id}/log?{query}").status_code == 422


# --- the log's own page -------------------------------------------------------------------------


def test_log_is_read_in_pages_by_line_number(charlie: Any, job_id: int) -> None:
    kept(job_id, lines(1_000))
    end_job(job_id)
    path = f"/jobs/{job_id}/log"
    end = charlie.get(path).text
    assert line_numbers(end) == list(range(701, 1_001))
    assert "Lines 701 to 1,000 of 1,000" in end
    assert f'href="{path}?from=401"' in end
    assert f'href="{path}?from=1"' in end
    assert "Later" not in end
    middle = charlie.get(f"{path}?from=350").text
    assert line_numbers(middle) == list(range(350, 650))
    assert f'href="{path}?from=50"' in middle
    assert f'href="{path}?from=650"' in middle
    assert "There is no line 5,000." in charlie.get(f"{path}?from=5000").text


def test_search_says_how_far_it_has_come_and_goes_on(
    charlie: Any, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reading, "SEARCHED_CHUNKS", 2)
    kept(job_id, [*lines(4_500), LoggedLine("needle"), *lines(200)])
    end_job(job_id)
    path = f"/jobs/{job_id}/log"
    first = charlie.get(f"{path}?q=needle").text
    assert "0 found in lines 1 to 2,000 of 4,701" in first
    found = re.search(r'href="([^"]+)">Search further<', first)
    pages = 0
    while found is not None:
        page = charlie.get(html.unescape(found[1])).text
        pages += 1
        found = re.search(r'href="([^"]+)">Search further<', page)
    assert (line_numbers(page), pages) == ([4_501], 2)
    assert 'name="q" value="needle"' in page


def test_level_shows_that_and_what_is_worse(charlie: Any, job_id: int) -> None:
    kept(job_id, [LoggedLine("a", level=level) for level in ("info", "notice", "warning", "error")])
    path = f"/jobs/{job_id}/log"
    assert line_numbers(charlie.get(f"{path}?level=notice").text) == [2, 3, 4]
    assert line_numbers(charlie.get(f"{path}?level=error").text) == [4]
    end_job(job_id)
    assert "No line matches." in charlie.get(f"{path}?q=nothing").text


@pytest.mark.parametrize(
    ("query", "words"),
    [("level=loud", "Choose one of these levels."), ("from=x", "Write the number of a line.")],
)
def test_bad_filter_is_said_beside_its_field(
    charlie: Any, job_id: int, query: str, words: str
) -> None:
    kept(job_id, lines(3))
    answer = charlie.get(f"/jobs/{job_id}/log?{query}&q=kept")
    assert answer.status_code == 422
    assert words in answer.text
    assert 'name="q" value="kept"' in answer.text
    assert shown(answer.text) == []


def test_markup_in_a_line_is_shown_as_text(charlie: Any, job_id: int) -> None:
    kept(job_id, [LoggedLine("<img src=x onerror=alert(1)>", message="</div><script>")])
    page = charlie.get(f"/jobs/{job_id}/log").text
    assert "<img" not in page
    assert shown(page)[0].endswith("<img src=x onerror=alert(1)>  </div><script>")


def test_times_are_those_of_the_readers_zone(charlie: Any, job_id: int) -> None:
    kept(job_id, lines(1))
    charlie.post("/settings", {"timezone": "Asia/Tokyo"})
    assert "<time>20:06:40</time>" in charlie.get(f"/jobs/{job_id}/log").text


# --- as a file ----------------------------------------------------------------------------------


def test_download_is_plain_text_with_every_line(charlie: Any, job_id: int) -> None:
    tail = kept(job_id, lines(1_500), left_out=5)
    logs.append_lines(tail, [LoggedLine("", message="done", level="notice")])
    logs.save(tail)
    answer = charlie.get(f"/jobs/{job_id}/log/download")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert f"filename=job-{job_id}-log.txt" in answer.headers["Content-Disposition"]
    text = answer.text.splitlines()
    assert text[0] == "2026-11-18T11:06:40.250Z INFO    folder/file 1: Copied (new)"
    assert text[1_500] == "… 5 lines were not kept"
    assert text[1_501] == "2026-11-18T11:06:40.250Z NOTICE  done"
    assert len(text) == 1_502


def test_download_of_a_long_log_needs_no_more_memory_than_a_chunk(
    charlie: Any, job_id: int
) -> None:
    tail = begun(job_id)
    logs.append_lines(tail, lines(60_000))
    logs.save(tail)
    del tail
    session.remove()
    tracemalloc.start()
    answer = charlie.client.get(f"/jobs/{job_id}/log/download", buffered=False)
    length = sum(len(part) for part in answer.iter_encoded())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    answer.close()
    assert length > 3_500_000
    assert peak < 2_500_000


@pytest.mark.parametrize("path", ["log", "log/download"])
def test_log_of_no_job_is_not_found(charlie: Any, path: str) -> None:
    assert charlie.get(f"/jobs/999/{path}").status_code == 404
    assert charlie.get("/api/jobs/999/log").status_code == 404


def test_page_of_a_job_holds_a_bounded_part_of_its_log(charlie: Any, job_id: int) -> None:
    kept(job_id, lines(20_000))
    page = charlie.get(f"/jobs/{job_id}").text
    assert len(line_numbers(page)) == routes.TAIL_LINES
    assert len(page) < 120_000
