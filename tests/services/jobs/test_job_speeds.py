"""The speed of a job over time: a curve of bounded length that stays true."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.models import JobSpeed
from portal.services.jobs import speeds
from portal.services.jobs.speed_curve import MAX_POINTS, Series
from portal.worker import attempt, attempt_log
from tests.support.transfers import MIB, Recorder, fill, scripted_rclone, stored

STARTED = datetime(2026, 11, 22, 12, tzinfo=UTC)


def saved(job_id: int) -> JobSpeed:
    found = speeds.of(stored(job_id))
    assert found is not None
    return found


def test_points_are_the_averages_of_their_seconds() -> None:
    series = Series()
    for seconds, value in ((0.1, 10), (0.6, 20), (1.2, 100), (4.0, 7)):
        series.add(seconds, value)
    assert series.points == [15, 100, None, None, 7]
    assert (series.step, series.peak) == (1, 100)


def test_full_curve_halves_its_resolution() -> None:
    series = Series()
    for second in range(MAX_POINTS):
        series.add(second, second)
    assert (len(series.points), series.step) == (MAX_POINTS, 1)
    series.add(MAX_POINTS, 300)
    assert series.step == 2
    assert len(series.points) == MAX_POINTS // 2 + 1
    assert series.points[:3] == [0, 2, 4]
    assert series.peak == 300


@given(
    st.lists(st.tuples(st.floats(0, 5_000), st.integers(0, 2**62)), min_size=1, max_size=60).map(
        sorted
    )
)
def test_curve_is_bounded_and_never_above_its_peak(values: list[tuple[float, int]]) -> None:
    series = Series()
    for seconds, value in values:
        series.add(seconds, value)
    assert 1 <= len(series.points) <= MAX_POINTS
    assert series.step * len(series.points) >= values[-1][0]
    known = [point for point in series.points if point is not None]
    assert known
    assert max(known) <= series.peak * (1 + 1e-9) + 1
    assert series.peak == max(value for _, value in values)


def test_steady_speed_stays_what_it_is_over_two_days() -> None:
    series = Series()
    for second in range(0, 2 * 86_400, 20):
        series.add(second, 1_000)
    assert set(series.points) == {1_000}
    assert series.step == 1024


@pytest.mark.parametrize("attempts", [(1, 2), (2, 1)])
def test_curve_is_that_of_the_last_attempt(new_job: Any, attempts: tuple[int, int]) -> None:
    job_id = new_job()
    for number in attempts:
        speeds.save(job_id, number, STARTED, Series(points=[number], peak=number))
    assert (saved(job_id).attempt, saved(job_id).points) == (2, [2])


def test_transfer_without_new_figures_counts_as_standing_still(
    new_job: Any, execute: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: Recorder
) -> None:
    monkeypatch.setattr(attempt, "SILENT", 0.5)
    script = """
        for number in range(1, 7):
            tell(number * 1000, 9000, elapsedTime=0.25 * number)
            time.sleep(0.25)
        time.sleep(3.5)
        tell(9000, 9000, transfers=1, elapsedTime=5.0)
    """
    job_id = new_job()
    execute(job_id, rclone=scripted_rclone(tmp_path, script))
    told = [event.data["speed_bytes"] for event in events.of(job_id, "job_progress")]
    assert told[0] > 0
    assert 0 in told[1:]
    points = saved(job_id).points
    assert max(point or 0 for point in points[:2]) > 0
    assert points[2:4] == [0, 0]


def test_curve_is_written_soon_and_then_more_and_more_seldom(monkeypatch: Any) -> None:
    moment = 0.0
    monkeypatch.setattr(attempt_log.time, "monotonic", lambda: moment)
    written: list[float] = []
    monkeypatch.setattr(speeds, "save", lambda *_: written.append(moment))
    monkeypatch.setattr(attempt_log.AttemptLog, "_write_log", lambda _: False)
    kept = attempt_log.AttemptLog(1, 1)
    while moment < 60:
        moment = round(moment + 0.25, 2)
        kept.note(5)
        kept.keep(SimpleNamespace(log_waits=False))  # type: ignore[arg-type]
    assert written == [2, 4, 8, 16, 26, 36, 46, 56]


def test_real_transfer_leaves_its_curve(new_job: Any, execute: Any, root: Path) -> None:
    fill(root / "from", MIB, files=6)
    job_id = new_job(source=root / "from", bandwidth_limit="2M")
    execute(job_id)
    curve = saved(job_id)
    known = [point for point in curve.points if point is not None]
    assert 2 <= len(known) <= 10
    assert max(known) <= curve.peak
    assert MIB < curve.peak < 30 * MIB
