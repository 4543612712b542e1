"""What was shown before a try, a wait or a pause need not hold after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.engine import ConfirmedPlan, Order, Outcome, Run, rclone_path
from portal.engine.precautions import Precautions
from portal.engine.rclone_process import RcloneProcess
from portal.transfers.options import Options
from tests.support.attempts import Attempts
from tests.support.keepsakes import kept, photographs


def follow(run: Run, each: Callable[[Run], None] = lambda run: None) -> Outcome:
    try:
        for _ in run.readings(tick=0.02):
            each(run)
    finally:
        run.close()
    return run.outcome()


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    source, destination = tmp_path / "here" / "photos", tmp_path / "there" / "photos"
    photographs(source)
    destination.mkdir(parents=True)
    return source, destination


def order(operation: str, ends: tuple[Path, Path], **more: Any) -> Order:
    return Order(7, 1, operation, str(ends[0]), str(ends[1]), None, False, **more)


@pytest.mark.parametrize("operation", ["copy", "move", "sync"])
def test_disk_that_went_away_during_a_pause_stops_the_transfer(
    ends: tuple[Path, Path], tmp_path: Path, operation: str
) -> None:
    before = kept(ends[0])
    away: list[str] = []
    run = Run(
        rclone_path(None),
        order(operation, ends),
        data_dir=tmp_path,
        paused=True,
        obstacle=lambda: away[0] if away else None,
    )
    began = time.monotonic()

    def raise_if_requested(run: Run) -> None:
        if time.monotonic() - began > 0.2:
            away.append("The disk is away.")
            run.resume()

    outcome = follow(run, raise_if_requested)
    assert (outcome.succeeded, outcome.reason) == (False, "The disk is away.")
    assert kept(ends[0]) == before
    assert list(ends[1].iterdir()) == []


def fail_first(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """The first rclone that changes anything ends as if the storage had not answered."""
    started, tries = RcloneProcess.outcome, []

    def outcome(self: RcloneProcess) -> Outcome:
        done = started(self)
        if self._order.dry_run or tries:
            return done
        tries.append(1)
        meanwhile()
        return Outcome(False, False, 1, "It did not answer.", (), None, may_pass=True, told="No")

    monkeypatch.setattr(RcloneProcess, "outcome", outcome)


@pytest.mark.parametrize("operation", ["copy", "move", "sync"])
def test_disk_that_went_away_between_two_tries_stops_the_second(
    ends: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    away: list[str] = []
    fail_first(monkeypatch, lambda: away.append("The disk is away."))
    run = Run(
        rclone_path(None),
        order(operation, ends, options=Options(retries=2)),
        data_dir=tmp_path,
        backoff=0.1,
        obstacle=lambda: away[0] if away else None,
    )
    assert follow(run).reason == "The disk is away."


@pytest.mark.parametrize("lost", ["all but one", "one", "none"])
def test_second_try_deletes_nothing_that_was_not_confirmed(
    ends: tuple[Path, Path],
    tmp_path: Path,
    attempts: Attempts,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    """The source loses files while the second try is waited for."""
    source, destination = ends
    assert attempts.run("copy", source, destination).succeeded
    for number in range(3):
        (destination / f"old{number}").write_bytes(b"old")
    shown = attempts.run("sync", source, destination, dry_run=True).plan
    assert shown is not None
    assert shown.deletes == 3
    files = sorted(path for path in source.rglob("*") if path.is_file())
    going = {"all but one": files[1:], "one": files[:1], "none": []}[lost]
    before = kept(source)

    def lose() -> None:
        (destination / "old0").write_bytes(b"old")  # all three are to be deleted again
        (destination / "old1").write_bytes(b"old")
        (destination / "old2").write_bytes(b"old")
        for path in going:
            path.unlink()

    fail_first(monkeypatch, lose)
    confirmed = ConfirmedPlan(shown.deletes, shown.fingerprint, shown.moment)
    order_ = order("sync", ends, options=Options(retries=1), confirmed=confirmed)
    outcome = follow(Run(rclone_path(None), order_, data_dir=tmp_path, backoff=0.1))
    there = kept(destination)
    assert all(there.get(name) == content for name, content in before.items())
    if going:
        assert not outcome.succeeded
        assert "Nothing more was changed" in str(outcome.reason)


def test_both_ends_are_examined_again_after_a_pause(
    ends: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause comes when everything has been shown, and before the first rclone."""
    taken, examined = Precautions.take, []
    run = Run(rclone_path(None), order("move", ends), data_dir=tmp_path)

    def take(self: Precautions, *arguments: Any) -> Any:
        result = yield from taken(self, *arguments)
        examined.append(time.monotonic())
        if len(examined) == 1:
            run.pause()
        return result

    monkeypatch.setattr(Precautions, "take", take)
    resumed: list[float] = []

    def raise_if_requested(run: Run) -> None:
        if examined and not resumed and time.monotonic() - examined[0] > 0.2:
            resumed.append(time.monotonic())
            run.resume()

    assert follow(run, raise_if_requested).succeeded
    assert len(examined) == 2
    assert examined[0] < resumed[0] < examined[1]


def test_plan_must_be_the_very_same_after_a_pause_before_the_first_deletion(
    ends: tuple[Path, Path], tmp_path: Path, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many files as were confirmed would be deleted, but not those."""
    source, destination = ends
    assert attempts.run("copy", source, destination).succeeded
    (destination / "old").write_bytes(b"old")
    shown = attempts.run("sync", source, destination, dry_run=True).plan
    assert shown is not None
    confirmed = ConfirmedPlan(shown.deletes, shown.fingerprint, shown.moment)
    run = Run(rclone_path(None), order("sync", ends, confirmed=confirmed), data_dir=tmp_path)
    taken, before, calls = Precautions.take, kept(source), []

    def take(self: Precautions, *arguments: Any) -> Any:
        result = yield from taken(self, *arguments)
        calls.append(result)
        if len(calls) == 1:
            run.pause()
        return result

    monkeypatch.setattr(Precautions, "take", take)

    def raise_if_requested(run: Run) -> None:
        if calls and run._paused:
            (destination / "old").unlink()
            (source / "1.jpg").unlink()
            run.resume()

    outcome = follow(run, raise_if_requested)
    assert "other files than the ones you confirmed. Nothing was changed" in str(outcome.reason)
    assert kept(destination) == before


def test_transfer_that_was_paused_during_the_look_at_its_source_stands_still(
    ends: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, begun = Run._look_at_source, []

    def look(self: Run, tick: float) -> Any:
        shape = yield from looked(self, tick)
        if not begun:
            begun.append(time.monotonic())
            self.pause()
        return shape

    monkeypatch.setattr(Run, "_look_at_source", look)
    leaders: list[int] = []
    run = Run(
        rclone_path(None), order("copy", ends, options=Options(exclude="*.tmp")), data_dir=tmp_path
    )
    try:
        for _ in run.readings(leaders.append, tick=0.02):
            if begun and time.monotonic() - begun[0] > 0.3 and run._paused:
                assert leaders == []
                assert list(ends[1].iterdir()) == []
                run.resume()
    finally:
        run.close()
    assert run.outcome().succeeded
    assert leaders
