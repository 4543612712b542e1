"""Charts of speed: honest scales, true words, and every state of a job."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.db.clock import now
from portal.db.session import session, write
from portal.models import Job, JobLog
from portal.presentation import charts
from portal.presentation.charts import Chart
from portal.presentation.formatting import duration, speed
from portal.services.jobs import speeds
from portal.services.jobs.speed_curve import MAX_POINTS, Series
from portal.services.jobs.statistics import Period, Throughput
from portal.transfers.states import JobStatus
from tests.support.client import Browser
from tests.support.transfers import MIB, fill, stored

UNITS = Path(__file__).parents[1] / "js" / "units.json"
STARTED = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def bob(browser: Callable[..., Browser]) -> Browser:
    return browser("bob")


def changed(job_id: int, **columns: Any) -> None:
    with write() as tx:
        job = tx.get_one(Job, job_id)
        for name, value in columns.items():
            setattr(job, name, value)
        tx.commit()
    session.remove()


def measured(
    job_id: int, *points: int | None, attempt: int = 1, started: datetime = STARTED
) -> None:
    peak = max((point for point in points if point is not None), default=0)
    speeds.save(job_id, attempt, started, Series(points=list(points), peak=peak))
    session.remove()


def chart_of(job_id: int) -> Chart | None:
    job = stored(job_id)
    try:
        return charts.of_job(job, speeds.of(job))
    finally:
        session.remove()


def card(bob: Browser, job_id: int) -> str:
    """The card of its page in words."""
    page = bob.get(f"/jobs/{job_id}").text
    found = re.search(r'<section class="card chart-card".*?</section>', page, re.DOTALL)
    assert found is not None
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", found[0])).split())


# --- scales -------------------------------------------------------------------------------------


@given(st.integers(0, 2**62))
def test_scale_holds_its_peak_and_divides_into_round_parts(peak: int) -> None:
    top, parts = charts._top(peak)
    assert peak <= top <= max(1024, 2 * peak)
    part, rest = divmod(top, parts)
    assert rest == 0
    assert part & (part - 1) == 0  # a power of two: round in every unit
    assert re.fullmatch(r"\d+( B|\.0 [KMGTPE]iB)/s", speed(part))


@given(st.integers(1, 400 * 86_400))
def test_marks_are_few_and_lie_inside(width: int) -> None:
    marks = charts._marks(width)
    assert 1 <= len(marks) <= charts._MAX_MARKS
    assert marks[0] == (0, "0 s")
    assert all(0 <= second <= width for second, _ in marks)
    assert len({words for _, words in marks}) == len(marks)
    room = charts._room_for(width)
    assert width <= room <= max(60, 3 * width)


def throughput(start: datetime, period: Period, *points: int | None) -> Throughput:
    step = 60 if period is Period.HOUR else 300
    return Throughput(
        period, start, step, points, sum(step * (point or 0) for point in points), start
    )


def test_marks_of_a_day_are_hours_of_the_readers_clock() -> None:
    start = datetime(2026, 11, 21, 22, 35, tzinfo=UTC)
    chart = charts.of_throughput(throughput(start, Period.DAY, *[5] * 288), "Asia/Kathmandu")
    assert [words for _, words in chart.marks] == ["06:00", "12:00", "18:00", "00:00"]
    hours = [(start + timedelta(seconds=second)).strftime("%H:%M") for second, _ in chart.marks]
    assert hours == ["00:15", "06:15", "12:15", "18:15"]
    assert [round(across) for across, _ in chart.moments] == [7, 32, 57, 82]


def test_marks_keep_to_the_clock_on_the_day_it_is_changed() -> None:
    # At 1:00 UTC clocks in Berlin go from 2:00 to 3:00.
    start = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    chart = charts.of_throughput(throughput(start, Period.DAY, *[5] * 288), "Europe/Berlin")
    assert [(second // 3600, words) for second, words in chart.marks] == [
        (0, "00:00"),
        (5, "06:00"),
        (11, "12:00"),
        (17, "18:00"),
        (23, "00:00"),
    ]


def test_plain_line_is_broken_where_nothing_was_reported() -> None:
    chart = charts.of_throughput(throughput(STARTED, Period.HOUR, 0, 768, None, 1024, None), "UTC")
    assert chart.lines == ["100,100 300,25", "700,0 700,0"]
    assert chart.data["points"] == [0, 768, None, 1024, None]


def test_words_of_the_axes_are_the_same_in_python_and_in_javascript() -> None:
    table = json.loads(UNITS.read_text())
    assert [[number, speed(number)] for number, _ in table["speeds"]] == table["speeds"]
    assert [[number, duration(number)] for number, _ in table["durations"]] == table["durations"]
    assert len(table["speeds"]) > 10


# --- the chart of a job -------------------------------------------------------------------------


def test_queued_job_says_that_it_is_drawn_later(bob: Browser, new_job: Any) -> None:
    assert card(bob, new_job()) == "Speed Its speed appears here once it runs."


def test_running_job_has_its_chart_from_the_first_moment(bob: Browser, new_job: Any) -> None:
    job_id = new_job()
    changed(job_id, status=JobStatus.RUNNING, attempt=1, started_at=now())
    assert card(bob, job_id).endswith(" 0 s 15 s 30 s 45 s 1 min Waiting for data.")
    chart = chart_of(job_id)
    assert chart is not None
    assert (chart.job, chart.points, chart.width) == (job_id, [], 60)


def test_running_chart_leaves_room_until_it_is_asked_for_again(new_job: Any) -> None:
    job_id = new_job()
    begun = now() - timedelta(seconds=50)
    changed(job_id, status=JobStatus.RUNNING, attempt=1, started_at=begun)
    measured(job_id, *[2 * MIB] * 40, started=begun)
    chart = chart_of(job_id)
    assert chart is not None
    assert chart.width == 120
    assert (chart.top, chart.parts) == (2 * MIB, 4)
    assert chart.words == "Peak 2.0 MiB/s, average 2.0 MiB/s in the first 40 s"


def test_new_attempt_does_not_show_what_an_older_one_did(new_job: Any) -> None:
    job_id = new_job()
    measured(job_id, 10, 20, attempt=1)
    changed(job_id, status=JobStatus.RUNNING, attempt=2, started_at=now())
    chart = chart_of(job_id)
    assert chart is not None
    assert chart.points == []
    measured(job_id, 5 * MIB, 7 * MIB, attempt=2, started=now())
    chart = chart_of(job_id)
    assert chart is not None
    assert chart.words.startswith("Attempt 2: peak 7.0 MiB/s, average 6.0 MiB/s")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "interrupted", "queued"])
def test_chart_is_kept_whatever_became_of_the_job(bob: Browser, new_job: Any, status: str) -> None:
    job_id = new_job()
    ended = None if status in ("interrupted", "queued") else STARTED + timedelta(seconds=4)
    changed(job_id, status=status, attempt=1, started_at=STARTED, finished_at=ended)
    measured(job_id, MIB, 3 * MIB, None, 2 * MIB)
    axis = "3.0 MiB/s 2.0 MiB/s 1.0 MiB/s 0 B/s 0 s 1 s 2 s 3 s 4 s"
    words = "Peak 3.0 MiB/s, average 2.0 MiB/s, 4 s"
    assert card(bob, job_id) == f"Speed {axis} {words}"
    chart = chart_of(job_id)
    assert chart is not None
    assert (chart.job, chart.width) == (None, 4)
    assert "speed-poll" not in bob.get(f"/jobs/{job_id}").text


def test_average_is_that_of_the_row_once_it_has_ended(new_job: Any) -> None:
    job_id = new_job()
    end = STARTED + timedelta(seconds=9)
    figures = {"status": "completed", "exit_code": 0, "speed_bytes": 5 * MIB}
    changed(job_id, attempt=1, started_at=STARTED, finished_at=end, **figures)
    measured(job_id, MIB, 9 * MIB)
    chart = chart_of(job_id)
    assert chart is not None
    assert chart.words == "Peak 9.0 MiB/s, average 5.0 MiB/s, 9 s"


@pytest.mark.parametrize("points", [(), (None,), (5,), (None, 5, None)])
def test_job_without_two_points_says_so(
    bob: Browser, new_job: Any, points: tuple[int | None, ...]
) -> None:
    job_id = new_job()
    changed(job_id, status="completed", attempt=1, started_at=STARTED, finished_at=STARTED)
    if points:
        measured(job_id, *points)
    assert card(bob, job_id) == "Speed Too short to chart."


def test_job_that_never_ran_says_so(bob: Browser, new_job: Any) -> None:
    job_id = new_job()
    changed(job_id, status="cancelled", finished_at=STARTED)
    assert card(bob, job_id) == "Speed Did not run."


def test_chart_that_was_removed_with_its_log_says_when(bob: Browser, new_job: Any) -> None:
    job_id = new_job()
    changed(job_id, status="completed", attempt=1, started_at=STARTED, finished_at=STARTED)
    with write() as tx:
        tx.add(JobLog(job_id=job_id, attempt=1, lines=1, removed_at=STARTED))
        tx.commit()
    session.remove()
    gone = "Speed Removed together with the log on 22 Nov 2026, 12:00:00."
    assert card(bob, job_id) == gone


@pytest.mark.parametrize("options", [{"operation": "check"}, {"dry_run": True}])
def test_job_that_moves_nothing_has_no_chart(
    bob: Browser, new_job: Any, options: dict[str, Any]
) -> None:
    assert "chart-card" not in bob.get(f"/jobs/{new_job(**options)}").text


def test_page_and_poll_show_the_same_chart(
    browser: Callable[..., Browser], bob: Browser, new_job: Any
) -> None:
    job_id = new_job()
    changed(job_id, status=JobStatus.RUNNING, attempt=1, started_at=STARTED)
    measured(job_id, MIB, 3 * MIB, started=STARTED)
    viewer = browser("charlie")
    polled = viewer.get(f"/api/jobs/{job_id}/speed")
    assert polled.text.strip() in bob.get(f"/jobs/{job_id}").text
    assert f'hx-get="/api/jobs/{job_id}/speed" hx-trigger="every 10s"' in polled.text
    again = viewer.get(
        f"/api/jobs/{job_id}/speed", headers={"If-None-Match": polled.headers["ETag"]}
    )
    assert again.status_code == 304
    data = re.search(r'data-chart="([^"]*)"', polled.text)
    assert data is not None
    assert json.loads(html.unescape(data[1]))["points"] == [MIB, 3 * MIB]


def test_chart_of_a_long_job_stays_small(bob: Browser, new_job: Any) -> None:
    job_id = new_job()
    series = Series()
    for second in range(0, 40 * 86_400, 2000):
        series.add(second, 2**50 + second)
    changed(job_id, status="completed", attempt=1, started_at=STARTED, finished_at=STARTED)
    speeds.save(job_id, 1, STARTED, series)
    fragment = bob.get(f"/api/jobs/{job_id}/speed").text
    assert len(series.points) <= MAX_POINTS
    assert len(fragment) < 16_384


def test_speed_of_a_job_for_programs(bob: Browser, new_job: Any) -> None:
    job_id = new_job()
    nothing = {"attempt": None, "started_at": None, "step": 1, "points": [], "peak": 0}
    assert bob.get(f"/api/v1/jobs/{job_id}/speed").json == nothing
    measured(job_id, MIB, None, 3 * MIB)
    assert bob.get(f"/api/v1/jobs/{job_id}/speed").json == {
        "attempt": 1,
        "started_at": "2026-11-22T12:00:00.000Z",
        "step": 1,
        "points": [MIB, None, 3 * MIB],
        "peak": 3 * MIB,
    }
    assert bob.get("/api/v1/jobs/999/speed").status_code == 404


def test_chart_of_a_real_transfer_is_on_its_page(
    bob: Browser, new_job: Any, execute: Any, root: Path
) -> None:
    fill(root / "from", MIB, files=6)
    job_id = new_job(source=root / "from", bandwidth_limit="2M")
    execute(job_id)
    assert re.search(r"Peak [\d.]+ [KM]iB/s, average [\d.]+ [KM]iB/s, \d s$", card(bob, job_id))
    row = bob.get(f"/api/jobs/{job_id}/progress").text
    average = re.search(r'data-field="speed">([^<]*)<', row)
    assert average is not None
    assert f"average {average[1]}," in card(bob, job_id)
