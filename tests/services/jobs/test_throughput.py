"""What all jobs moved together in the last hour or day: every byte once, at bounded cost."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select

from portal.db.clock import now
from portal.db.session import session, write
from portal.models import ActivityMinute
from portal.services.jobs import (
    claims,
    reports,
    rescue,
    statistics,
    transitions,
)
from portal.services.jobs.claims import Claim, ClaimStatus
from portal.services.jobs.reports import Ending, ProgressReport
from portal.services.jobs.statistics import Period, Throughput
from portal.services.jobs.transitions import add_activity
from portal.transfers.states import JobStatus
from tests.support.client import Browser
from tests.support.transfers import MIB, reading, status_of, tell

MOMENT = datetime(2026, 3, 1, 12, 33, 30, tzinfo=UTC)


@pytest.fixture
def bob(browser: Callable[..., Browser]) -> Browser:
    return browser("bob")


def note(moment: datetime, moved: int) -> None:
    with write() as tx:
        add_activity(tx, moment, bytes_moved=moved)
        tx.commit()
    session.remove()


def told(period: Period = Period.HOUR) -> Throughput:
    try:
        return statistics.throughput(period)
    finally:
        session.remove()


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(statistics, "now", lambda: moment)


def card(page: str) -> str:
    found = re.search(r'<section class="card chart-card".*?</section>', page, re.DOTALL)
    assert found is not None
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", found[0])).split())


# --- its points ---------------------------------------------------------------------------------


def test_hour_has_a_point_for_each_minute(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MOMENT)
    for minutes in range(-70, 3):
        note(MOMENT + timedelta(minutes=minutes), 6000 + 60 * minutes)
    hour = told()
    assert (hour.start, hour.step) == (datetime(2026, 3, 1, 11, 34, tzinfo=UTC), 60)
    assert hour.points[:-1] == tuple(range(100 - 59, 100))
    assert hour.points[-1] == 6000 // 30  # of the half minute that has passed
    assert hour.moved == sum(6000 - 60 * ago for ago in range(60))


def test_day_has_a_point_for_each_five_minutes(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MOMENT)
    for minutes in range(-1500, 1):
        note(MOMENT + timedelta(minutes=minutes), 600)
    day = told(Period.DAY)
    assert day.start == datetime(2026, 2, 28, 12, 35, tzinfo=UTC)
    assert (day.step, len(day.points)) == (300, 288)
    assert set(day.points[:-1]) == {10}
    assert day.points[-1] == 4 * 600 // 210  # 12:30 to 12:33:30
    assert day.moved == 600 * (5 * 287 + 4)


def test_point_of_a_moment_does_not_leap(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    note(MOMENT, 5000)
    at(monkeypatch, MOMENT.replace(second=1))
    assert (told().points[-1], told().moved) == (1000, 5000)
    at(monkeypatch, MOMENT.replace(second=10))
    assert told().points[-1] == 500


def test_silence_is_zero(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MOMENT)
    note(MOMENT - timedelta(minutes=10), 600)
    hour = told()
    assert hour.points.count(0) == 59
    assert hour.points[49] == 10
    assert told(Period.DAY).points.count(0) == 287


@pytest.mark.one_process
def test_cost_is_one_question_about_the_time_in_view(app: Any) -> None:
    with write() as tx:
        begin = now().astimezone(UTC).replace(second=0, microsecond=0) - timedelta(days=30)
        minutes = [begin + timedelta(minutes=number) for number in range(0, 29 * 1440, 7)]
        tx.add_all([ActivityMinute(minute=minute, bytes_moved=1) for minute in minutes])
        tx.commit()
    asked: list[str] = []
    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    assert told(Period.DAY).moved == 0
    assert len([one for one in asked if "SELECT" in one]) == 1
    plan = session.connection().exec_driver_sql(
        "EXPLAIN QUERY PLAN SELECT minute FROM activity_minutes WHERE minute >= '2026'"
    )
    assert "SEARCH" in plan.all()[0][-1]
    session.remove()


# --- every byte once ----------------------------------------------------------------------------


def claimed(job_id: int, worker: str = "test:1") -> Claim:
    job = claims.claim(job_id, worker)
    assert job is not None
    return Claim(job.id, job.attempt)


def test_two_workers_count_what_each_has_moved(new_job: Any) -> None:
    one, two = claimed(new_job(), "filer1:1"), claimed(new_job(), "filer2:1")
    for done in (100, 200, 300):
        reports.report_progress([ProgressReport(one, reading(done, 1000))])
        reports.report_progress([ProgressReport(two, reading(2 * done, 1000))])
    reports.finish(one, Ending(True, None, 0), reading(350, 350))
    assert told().moved == 950


def test_worker_that_lost_its_job_counts_nothing_more(new_job: Any) -> None:
    job_id = new_job()
    old = claimed(job_id)
    assert tell(job_id, old.attempt, reading(500, 1000)) is ClaimStatus.VALID
    rescue.recover()
    assert status_of(job_id) == JobStatus.QUEUED
    new = claimed(job_id, "test:2")
    assert tell(job_id, old.attempt, reading(900, 1000)) is ClaimStatus.LOST
    reports.finish(old, Ending(True, None, 0), reading(1000, 1000))
    assert told().moved == 500
    # What it has to send once more counts once.
    assert tell(job_id, new.attempt, reading(200, 1000)) is ClaimStatus.VALID
    assert told().moved == 500
    reports.finish(new, Ending(True, None, 0), reading(1000, 1000))
    assert told().moved == 1000


def test_retry_that_finds_all_in_place_moves_nothing(new_job: Any) -> None:
    hold = claimed(new_job())
    reports.finish(hold, Ending(False, "x", 1), reading(700, 1000))
    again = claimed(new_job())
    reports.finish(again, Ending(True, None, 0), reading(0, 0))
    assert told().moved == 700


def test_totals_are_of_the_transaction_that_tells_the_figures(
    new_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = claimed(new_job())

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(reports, "add_activity", fails)
    with pytest.raises(RuntimeError):
        reports.report_progress([ProgressReport(hold, reading(500, 1000))])
    monkeypatch.undo()
    assert (told().moved, session.scalars(select(ActivityMinute)).all()) == (0, [])
    reports.report_progress([ProgressReport(hold, reading(500, 1000))])
    assert told().moved == 500


def test_bytes_that_could_not_be_reported_for_a_while_are_shared_among_their_minutes(
    new_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = claimed(new_job())
    monkeypatch.setattr(reports, "now", lambda: MOMENT)
    monkeypatch.setattr(transitions, "now", lambda: MOMENT)
    at(monkeypatch, MOMENT)
    since = MOMENT - timedelta(minutes=10)
    assert reports.report_progress([ProgressReport(hold, reading(6000, 9000), since)])
    hour = told()
    assert hour.points[-12:] == (0, 5, *[10] * 9, 10)
    assert hour.moved == 6000
    reports.finish(
        hold, Ending(True, None, 0), reading(7201, 9000), since=since + timedelta(minutes=8)
    )
    assert told().points[-4:] == (10, 15, 20, 20)
    assert told().moved == 7201


@given(st.integers(0, 2**60), st.floats(0, 200_000))
def test_shares_add_up_and_each_minute_comes_once(moved: int, seconds: float) -> None:
    found = transitions.split_by_minute(moved, MOMENT - timedelta(seconds=seconds), MOMENT)
    assert sum(share for _, share in found) == moved
    assert all(share >= 0 for _, share in found)
    minutes = [minute.replace(second=0, microsecond=0) for minute, _ in found]
    assert sorted(set(minutes)) == minutes
    assert found[-1][0] == MOMENT
    assert len(found) <= 1441


def test_bytes_that_are_reported_at_once_belong_to_their_minute() -> None:
    assert transitions.split_by_minute(50, MOMENT - timedelta(seconds=59), MOMENT) == [(MOMENT, 50)]
    assert transitions.split_by_minute(50, None, MOMENT) == [(MOMENT, 50)]
    # A clock that was set back.
    assert transitions.split_by_minute(50, MOMENT + timedelta(hours=1), MOMENT) == [(MOMENT, 50)]


# --- its card -----------------------------------------------------------------------------------


def test_card_says_what_was_moved_and_its_links_work_without_scripts(bob: Browser) -> None:
    note(now() - timedelta(minutes=5), 60 * 3 * MIB)
    note(now() - timedelta(hours=5), 60 * 3 * MIB)
    page = bob.get("/").text
    assert re.search(
        r"Peak 3\.0 MiB/s, average \d+\.\d KiB/s, 180\.0 MiB moved \(as of [\d:]{8}\)$", card(page)
    )
    assert 'href="/?period=day#throughput"' in page
    assert re.search(r'id="period-hour"[^>]*aria-current="true"', page)
    assert 'hx-get="/?period=hour" hx-select="#dashboard-region > *"' in page
    day = bob.get("/?period=day").text
    assert re.search(
        r"Peak 614\.4 KiB/s, average [\d.]+ KiB/s, 360\.0 MiB moved \(as of [\d:]{8}\)$", card(day)
    )
    assert re.search(r'id="period-day"[^>]*aria-current="true"', day)
    assert 'hx-get="/?period=day" hx-select="#dashboard-region > *"' in day


def test_empty_card_says_so(bob: Browser) -> None:
    assert "Nothing was moved in the last hour." in card(bob.get("/").text)
    assert "Nothing was moved in the last day." in card(bob.get("/?period=day").text)


@pytest.mark.parametrize("period", ["week", "<b>", "hour\0"])
def test_unknown_period_is_not_found(bob: Browser, period: str) -> None:
    assert bob.get("/", query_string={"period": period}).status_code == 404


def test_throughput_for_programs(bob: Browser) -> None:
    note(now() - timedelta(minutes=5), 6000)
    hour = bob.get("/api/v1/statistics/throughput").json
    assert (hour["period"], hour["step"], hour["moved"]) == ("hour", 60, 6000)
    assert len(hour["points"]) == 60
    assert 100 in hour["points"]
    day = bob.get("/api/v1/statistics/throughput?period=day").json
    assert (day["period"], day["step"], len(day["points"])) == ("day", 300, 288)
    assert bob.get("/api/v1/statistics/throughput?period=week").status_code == 422


# --- its rows -----------------------------------------------------------------------------------


def test_old_minutes_are_removed_and_nothing_that_is_shown(app: Any) -> None:
    for days in (400, 399, 33, 31, 1, 0):
        note(now() - timedelta(days=days), 60)
    assert statistics.remove_old(32) == 3
    assert statistics.remove_old(32) == 0
    assert len(session.scalars(select(ActivityMinute)).all()) == 3
    session.remove()
    assert told(Period.DAY).moved >= 60
