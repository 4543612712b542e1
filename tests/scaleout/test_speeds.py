"""Curves and totals of workers elsewhere: read by everyone while they run, every byte once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from portal.db.session import session
from portal.services.jobs import speeds, statistics
from portal.services.jobs.statistics import Period
from tests.support.transfers import MIB, fill, status_of, stored
from tests.support.waiting import wait_for


def curve(job_id: int) -> list[int | None]:
    found = speeds.of(stored(job_id))
    session.remove()
    return found.points if found else []


def test_two_workers_write_their_curves_while_they_run_and_add_up_to_every_byte(
    worker: Any, new_job: Any, root: Path
) -> None:
    for _ in range(2):
        worker("--concurrency", "1")
    jobs = [
        new_job(
            source=fill(root / f"from {number}", MIB, 12),
            destination=root / f"to {number}",
            bandwidth_limit="2M",
        )
        for number in range(2)
    ]
    wait_for(lambda: all(len(curve(job)) >= 2 for job in jobs), 20)
    assert [status_of(job) for job in jobs] == ["running", "running"]
    wait_for(lambda: {status_of(job) for job in jobs} == {"completed"}, 30)
    assert stored(jobs[0]).worker != stored(jobs[1]).worker
    assert all(max(point or 0 for point in curve(job)) > MIB for job in jobs)
    try:
        assert statistics.throughput(Period.HOUR).moved == 24 * MIB
    finally:
        session.remove()
