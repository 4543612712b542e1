"""Real transfers under a bandwidth budget: the sum holds, all get alike, and what one does not use
the others have within three seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.db.session import session
from portal.models import OF_PORTAL, Remote, User
from portal.services import bandwidth_budgets
from portal.services.actor import Actor
from portal.services.jobs import control, log_reading
from portal.settings import Settings
from portal.transfers.states import JobStatus
from portal.worker import Worker
from tests.support.remotes import new_remote
from tests.support.storages import Storage
from tests.support.transfers import MIB, run_job, status_of, stored
from tests.support.waiting import wait_for

assert new_remote
pytestmark = pytest.mark.exclusive

BUDGET = 8 * MIB
#: Seconds within which each change has to be in force, and for which it is then measured.
WITHIN, MEASURED = 3.0, 2.0


def jain(speeds: Sequence[float]) -> float:
    return sum(speeds) ** 2 / (len(speeds) * sum(speed**2 for speed in speeds))


class Convoy:
    """Jobs of one worker, each in a thread of its own, as many as wanted."""

    def __init__(
        self, app: Flask, settings: Settings, root: Path, new_job: Callable[..., int], alice: Actor
    ) -> None:
        self.app, self.root, self.alice = app, root, alice
        self.jobs: list[int] = []
        self._new_job = new_job
        self._worker = Worker(settings, "test:1", grace=2.0)
        self._threads: list[threading.Thread] = []
        self.source = root / "from"
        self.source.mkdir()
        for number in range(8):
            # Holes: the disk is not what is measured.
            with (self.source / f"file {number}").open("wb") as file:
                file.truncate(400 * MIB)

    def budget(self, text: str, budget_id: int = OF_PORTAL) -> None:
        bandwidth_budgets.save({budget_id: text}, "UTC", actor=self.alice)
        session.remove()

    def start(self, **options: Any) -> int:
        order = {"source": self.source, "destination": self.folder(len(self.jobs))} | options
        job = self._new_job(**order)
        self.jobs.append(job)
        self._threads.append(threading.Thread(target=self._execute, args=(job,)))
        self._threads[-1].start()
        return job

    def folder(self, index: int) -> Path:
        return self.root / f"to {index}"

    def limit(self, job: int, limit: str | None) -> None:
        control.limit(job, limit, actor=self.alice)
        session.remove()

    def pause(self, job: int) -> None:
        control.pause(job, actor=self.alice)
        session.remove()

    def resume(self, job: int) -> None:
        control.resume(job, actor=self.alice)
        session.remove()

    def arrived(self) -> list[int]:
        """Bytes of each job that are at its destination."""
        found = []
        for index in range(len(self.jobs)):
            total = 0
            for path in self.folder(index).rglob("*"):
                with suppress(OSError):  # renamed just now
                    total += path.stat().st_size
            found.append(total)
        return found

    def speeds(self, seconds: float = MEASURED) -> list[float]:
        """Bytes a second of each job, over these seconds."""
        begun, before = time.monotonic(), self.arrived()
        time.sleep(seconds)
        after, took = self.arrived(), time.monotonic() - begun
        return [(now - then) / took for now, then in zip(after, before, strict=True)]

    def all_move(self) -> bool:
        return len(self.arrived()) == len(self.jobs) and all(self.arrived())

    def end(self) -> None:
        self._worker.stop()
        for thread in self._threads:
            thread.join(20)

    def _execute(self, job: int) -> None:
        with self.app.app_context():
            run_job(self._worker, job)


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"remotes_allow_local": True}


@pytest.fixture
def convoy(
    app: Flask,
    settings: Settings,
    root: Path,
    new_job: Callable[..., int],
    user: Callable[[str], User],
) -> Iterator[Convoy]:
    made = Convoy(app, settings, root, new_job, Actor(user("alice")))
    yield made
    made.end()


def test_ten_jobs_share_a_budget_alike_and_never_move_more_while_they_begin(
    convoy: Convoy,
) -> None:
    convoy.budget("8M")
    begun = time.monotonic()
    for _ in range(10):
        convoy.start()
        moved = sum(convoy.arrived())
        assert moved <= 1.05 * BUDGET * (time.monotonic() - begun) + MIB
    wait_for(convoy.all_move)
    assert sum(convoy.arrived()) <= 1.05 * BUDGET * (time.monotonic() - begun) + MIB
    time.sleep(WITHIN)

    speeds = convoy.speeds()
    assert 0.95 * BUDGET <= sum(speeds) <= 1.05 * BUDGET, speeds
    assert jain(speeds) >= 0.95, speeds
    shares = [stored(job).allowed_bytes for job in convoy.jobs]
    assert shares == [BUDGET // 10] * 10

    convoy.budget("00:00,4M 23:59,4M")
    time.sleep(WITHIN)
    speeds = convoy.speeds()
    assert 0.95 * BUDGET / 2 <= sum(speeds) <= 1.05 * BUDGET / 2, "a timetable takes effect"
    assert jain(speeds) >= 0.95, speeds

    convoy.budget("")
    wait_for(lambda: sum(convoy.speeds(0.5)) > 2 * BUDGET, WITHIN)
    assert {stored(job).allowed_bytes for job in convoy.jobs} == {None}


def test_what_a_job_does_not_use_is_lent_within_three_seconds(convoy: Convoy) -> None:
    convoy.budget("8M")
    slow, paused, *others = (convoy.start() for _ in range(4))
    wait_for(convoy.all_move)
    convoy.limit(slow, "500k")
    convoy.pause(paused)
    time.sleep(WITHIN)
    speeds = convoy.speeds()
    assert speeds[0] == pytest.approx(500 * 1024, rel=0.1), "a job's own limit still holds"
    assert speeds[1] == 0
    assert 0.95 * BUDGET <= sum(speeds) <= 1.05 * BUDGET, speeds
    assert speeds[2:] == pytest.approx([(BUDGET - 500 * 1024) / 2] * 2, rel=0.06)

    convoy.resume(paused)
    convoy.limit(slow, None)
    time.sleep(WITHIN)
    speeds = convoy.speeds()
    assert speeds == pytest.approx([BUDGET / 4] * 4, rel=0.06), "it gets its share back"
    said = [str(row) for rows in log_reading.whole(others[0]) for row in rows]
    assert said
    assert not [row for row in said if "limit set to" in row], "a share is no news for the log"


def test_slow_source_lends_what_it_cannot_use_and_a_remote_has_a_budget_of_its_own(
    convoy: Convoy, tmp_path: Path, new_remote: Callable[..., Remote]
) -> None:
    fast, slow = tmp_path / "fast", tmp_path / "slow"
    slow.mkdir()
    with (slow / "film").open("wb") as file:
        file.truncate(200 * MIB)  # of a larger file several parts would travel at once
    with (
        Storage("webdav", fast) as to,
        Storage("webdav", slow, flags=("--bwlimit=1M",)) as server,
    ):
        remote = new_remote("slow", "webdav", server.options())
        to_remote = new_remote("fast", "webdav", to.options())
        convoy.budget("8M")
        convoy.budget("2M", to_remote.id)
        convoy.start(source="slow:", source_remote_id=remote.id)
        convoy.start()
        convoy.start(destination="fast:", destination_remote_id=to_remote.id)
        wait_for(lambda: convoy.arrived()[0] and convoy.arrived()[1])
        time.sleep(WITHIN + 1)  # the slow server begins with a burst
        speeds = convoy.speeds(3.0)
        # Each would have 3 MiB/s of what the third leaves.
        assert speeds[0] < 2 * MIB
        assert speeds[1] > 3.75 * MIB
        assert speeds[0] + speeds[1] + 2 * MIB <= 1.05 * BUDGET, speeds
        assert stored(convoy.jobs[2]).allowed_bytes == 2 * MIB
        convoy.end()


def test_job_that_waits_for_its_share_can_be_cancelled(convoy: Convoy) -> None:
    convoy.budget("1B")
    first = convoy.start()
    wait_for(lambda: status_of(first) == JobStatus.RUNNING)
    second = convoy.start()
    wait_for(lambda: status_of(second) == JobStatus.RUNNING)
    for job in (first, second):
        control.cancel(job, actor=convoy.alice)
        session.remove()
        wait_for(lambda job=job: status_of(job) == JobStatus.CANCELLED)
