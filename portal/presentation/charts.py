"""Builds the charts of speed: points, scales that rarely change, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from portal.db.clock import now
from portal.models import Job, JobSpeed
from portal.presentation.formatting import (
    clock_time,
    duration,
    size,
    speed,
)
from portal.presentation.job_words import run_time
from portal.transfers.states import ACTIVE

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
#: Widths of a running job's chart, in seconds: with fixed steps the chart does not change all the
#: time.
_WIDTHS = (
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 20, 30)),
    *(hours * _HOUR for hours in (1, 2, 4, 8, 12)),
)
#: Seconds between two marks.
_APART = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200)
_MAX_MARKS = 5
#: Seconds of free space on the right. A page fetches its chart every ten seconds, and until then
#: the new points need room.
_ROOM = 15
_LEAST_TOP = 1024
_CLOCK = "%H:%M"

Points = Sequence[int | None]


class Period(StrEnum):
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Throughput:
    """``points[i]`` is the average speed of all jobs together in the ``step`` seconds after ``start
    + i * step``, in bytes a second. The last point is averaged over the time that has passed of its
    step. ``moved``: bytes in all, up to the moment ``until``."""

    period: Period
    start: datetime
    step: int
    points: tuple[int | None, ...]
    moved: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Chart:
    """``points[i]``: average speed in the ``step`` seconds after ``start + i * step``, in bytes a
    second; null if there is none. ``width``: seconds from ``start`` on. ``top``: bytes a second,
    divided by lines into ``parts``. ``marks``: seconds, with their words. ``job``: the job whose
    live figures belong to the chart. ``zone``: the time zone of its times of day; without one they
    count from the start."""

    start: datetime
    step: int
    points: Points
    width: int
    top: int
    parts: int
    marks: Sequence[tuple[int, str]]
    words: str
    job: int | None = None
    zone: str | None = None

    @property
    def data(self) -> dict[str, object]:
        """The chart as data for the page's scripts."""
        return {
            "job": self.job,
            "start": round(self.start.timestamp() * 1000),
            "step": self.step,
            "points": list(self.points),
            "width": self.width,
            "top": self.top,
            "parts": self.parts,
            "marks": list(self.marks),
            "zone": self.zone,
        }

    @property
    def heights(self) -> list[tuple[float, str]]:
        """Each line's distance from the top in percent, and its speed in words; the highest
        first."""
        return [
            (100 * (1 - part / self.parts), _rate(self.top * part // self.parts))
            for part in range(self.parts, -1, -1)
        ]

    @property
    def moments(self) -> list[tuple[float, str]]:
        """Each mark's distance from the left in percent, and its time in words."""
        return [(round(100 * second / self.width, 2), words) for second, words in self.marks]

    @property
    def lines(self) -> list[str]:
        """Returns points of polylines in a box of 1000 by 100, one for each stretch without a
        gap."""
        stretches: list[list[str]] = [[]]
        for number, value in enumerate(self.points):
            if value is None:
                stretches.append([])
                continue
            across = 1000 * (number + 0.5) * self.step / self.width
            stretches[-1].append(f"{across:.4g},{100 - 100 * value / self.top:.4g}")
        # A line with a single point would be invisible.
        return [" ".join(found * 2 if len(found) == 1 else found) for found in stretches if found]


def of_job(job: Job, measured: JobSpeed | None) -> Chart | None:
    """Returns None if there is nothing to show and nothing to come."""
    live = job.status in ACTIVE
    points = measured.points if measured else []
    if len([point for point in points if point is not None]) < (0 if live else 2):
        return None
    start = measured.started_at if measured else job.started_at or now()
    seconds = len(points) * measured.step if measured else 0
    if live:
        seconds = max(seconds, int((now() - start).total_seconds()))
    width = _room_for(seconds + _ROOM) if live else max(1, seconds)
    peak = measured.peak if measured else 0
    top, parts = _top(peak)
    return Chart(
        start=start,
        step=measured.step if measured else 1,
        points=points,
        width=width,
        top=top,
        parts=parts,
        marks=_marks(width),
        words=_words_of_job(job, measured),
        job=job.id if live else None,
    )


def of_throughput(throughput: Throughput, timezone: str) -> Chart:
    known = [point for point in throughput.points if point is not None]
    top, parts = _top(max(known))
    # The words name their moment, because the figures next to them are renewed more often.
    words = (
        f"Peak {_rate(max(known))}, average {_rate(_mean(known))},"
        f" {size(throughput.moved)} moved (as of {clock_time(throughput.until, timezone)})"
    )
    width = len(throughput.points) * throughput.step
    marks = _clock_marks(
        throughput.start, width, 900 if throughput.period is Period.HOUR else 21_600, timezone
    )
    return Chart(
        start=throughput.start,
        step=throughput.step,
        points=throughput.points,
        width=width,
        top=top,
        parts=parts,
        marks=marks,
        words=words,
        zone=timezone,
    )


def _words_of_job(job: Job, measured: JobSpeed | None) -> str:
    known = [point for point in measured.points if point is not None] if measured else []
    if not measured or not known:
        return "Waiting for data."
    live = job.status in ACTIVE
    # For a transfer that has ended, the row shows the average already; this chart must not differ.
    average = _mean(known) if live else job.speed_bytes or _mean(known)
    # An attempt that has ended took as long as the page says. For any other attempt the worker's
    # measurements are the best source.
    ended = job.finished_at is not None and job.exit_code is not None
    length = run_time(job) if ended else len(measured.points) * measured.step
    attempt = f"Attempt {measured.attempt}: " if measured.attempt > 1 else ""
    words = f"{attempt}peak {_rate(measured.peak)}, average {_rate(average)}"
    # The curve grows before the words are renewed; they stay true of its beginning.
    within = f" in the first {duration(length)}" if live else f", {duration(length)}"
    return f"{words[0].upper()}{words[1:]}{within}"


def _rate(number: int) -> str:
    return speed(number) if number else "0 B/s"


def _mean(values: Sequence[int]) -> int:
    return round(sum(values) / len(values))


def _top(peak: int) -> tuple[int, int]:
    """Returns a value above the peak that divides into parts of a round number of bytes, and the
    number of parts."""
    top = _LEAST_TOP
    while top < peak:
        if top * 3 // 2 >= peak:
            return top * 3 // 2, 3
        top *= 2
    return top, 4


def _room_for(seconds: int) -> int:
    for width in _WIDTHS:
        if seconds <= width:
            return width
    width = _DAY
    while width < seconds:
        width *= 2
    return width


def _marks(width: int) -> list[tuple[int, str]]:
    apart = next((step for step in _APART if width // step < _MAX_MARKS), None)
    if apart is None:
        apart = -(-width // (_MAX_MARKS - 1) // _DAY) * _DAY
    return [(second, duration(second)) for second in range(0, width + 1, apart)]


def _clock_marks(start: datetime, width: int, apart: int, timezone: str) -> list[tuple[int, str]]:
    """Marks at each full ``apart`` seconds of the reader's clock, even if the clock is changed in
    between."""
    zone, quarter = ZoneInfo(timezone), 900
    first = -int(start.timestamp()) % quarter
    marks = []
    for second in range(first, width + 1, quarter):
        here = (start + timedelta(seconds=second)).astimezone(zone)
        if (here.hour * _HOUR + here.minute * _MINUTE) % apart == 0:
            marks.append((second, here.strftime(_CLOCK)))
    return marks
