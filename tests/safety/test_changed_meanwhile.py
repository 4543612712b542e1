"""What was shown before a try, a wait or a pause need not hold after it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from portal.engine import ConfirmedPlan, Outcome, Run, TransferOrder, rclone_path
from portal.engine.precautions import Precautions
from portal.engine.rclone_runner import RcloneRunner
from portal.engine.running.rclone_process import RcloneProcess
from portal.transfers.options import Options
from tests.support.attempts import Attempts, Servers
from tests.support.keepsakes import kept, markers, photographs


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


def order(operation: str, ends: tuple[Path, Path], **more: Any) -> TransferOrder:
    return TransferOrder(7, 1, operation, str(ends[0]), str(ends[1]), None, False, **more)


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
        return Outcome(
            False, False, 1, "It did not answer.", (), None, is_retryable=True, retry_words="No"
        )

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
        if calls and run._runner.paused:
            (destination / "old").unlink()
            (source / "1.jpg").unlink()
            run.resume()

    outcome = follow(run, raise_if_requested)
    assert "other files than the ones you confirmed. Nothing was changed" in str(outcome.reason)
    assert kept(destination) == before


def test_transfer_that_was_paused_during_the_look_at_its_source_stands_still(
    ends: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, begun = RcloneRunner.look_at_source, []

    def look(self: RcloneRunner, tick: float) -> Any:
        shape = yield from looked(self, tick)
        if not begun:
            begun.append(time.monotonic())
            self.pause()
        return shape

    monkeypatch.setattr(RcloneRunner, "look_at_source", look)
    leaders: list[int] = []
    run = Run(
        rclone_path(None), order("copy", ends, options=Options(exclude="*.tmp")), data_dir=tmp_path
    )
    try:
        for _ in run.readings(leaders.append, tick=0.02):
            if begun and time.monotonic() - begun[0] > 0.3 and run._runner.paused:
                assert leaders == []
                assert list(ends[1].iterdir()) == []
                run.resume()
    finally:
        run.close()
    assert run.outcome().succeeded
    assert leaders


# --- folders of this machine that become others while rclone is at work -------------------------


def begun_move(ends: tuple[Path, Path], operation: str = "move") -> Run:
    """It needs seconds for its files, so that there is time to change something."""
    for number in range(12):
        (ends[0] / f"large {number:02}").write_bytes(os.urandom(300_000))
    slow = replace(
        order(operation, ends), bandwidth_limit="1M", options=Options(retries=2, transfers=1)
    )
    return Run(rclone_path(None), slow, data_dir=ends[0].parent.parent, grace=2.0)


def some_arrived(ends: tuple[Path, Path]) -> bool:
    return sum(path.is_file() for path in ends[1].glob("large ??")) >= 2


@pytest.mark.parametrize("how", ["bind", "rename", "link"])
@pytest.mark.parametrize("paused", [True, False])
def test_destination_that_turns_into_the_source_ends_the_move_and_loses_nothing_after_a_pause(
    ends: tuple[Path, Path], bind: Any, tmp_path: Path, how: str, paused: bool
) -> None:
    run, away = begun_move(ends), tmp_path / "away"
    bind(ends[1], tmp_path / "seen")
    before: dict[str, bytes] = kept(ends[0])
    changed: list[float] = []

    def change() -> None:
        if how == "bind":
            bind(ends[0], ends[1])
            return
        ends[1].rename(away)
        if how == "link":
            ends[1].symlink_to(ends[0])
        else:
            ends[1].mkdir()

    def each(run: Run) -> None:
        if changed and paused and time.monotonic() - changed[0] > 0.1:
            run.resume()
        if not changed and some_arrived(ends):
            if paused:
                run.pause()
            change()
            changed.append(time.monotonic())

    outcome = follow(run, each)
    assert not outcome.succeeded
    assert outcome.reason is not None
    assert outcome.reason.startswith(f"The destination ({ends[1]}) is not the same folder")
    places = (ends[0], ends[1], tmp_path / "seen")
    left = {path.name for place in places for path in place.rglob("*")}
    lost = {name for name in before if name.rpartition("/")[2] not in left}
    if paused or how == "rename":
        assert lost == set()
    else:
        # Those that rclone took for moved until the next look, a second later at most.
        assert len(lost) <= 6
        assert time.monotonic() - changed[0] < 4


@pytest.mark.parametrize("kind", ["sftp", "webdav"])
@pytest.mark.parametrize("covered", ["", "2026", None])
def test_folder_of_a_server_that_turns_into_the_source_during_a_pause_costs_no_file(
    ends: tuple[Path, Path],
    servers: Servers,
    bind: Any,
    tmp_path: Path,
    kind: str,
    covered: str | None,
) -> None:
    """No path of this machine shows it, so everything is examined again before it goes on."""
    server = servers.start(kind, ends[1].parent)
    bind(ends[1], tmp_path / "seen")
    begun_move(ends)
    before = kept(ends[0])
    slow = TransferOrder(
        *(7, 1, "move", str(ends[0]), "nas:photos", "1M"),
        dry_run=False,
        remotes=(servers.remote("nas", server),),
        options=Options(retries=0, transfers=1),
    )
    paused_at: list[float] = []

    def each(run: Run) -> None:
        if not paused_at and some_arrived(ends):
            run.pause()
            if covered is not None:
                bind(ends[0] / covered, ends[1] / covered)
            paused_at.append(time.monotonic())
        elif paused_at and time.monotonic() - paused_at[0] > 0.1:
            run.resume()

    run = Run(rclone_path(None), slow, data_dir=tmp_path, grace=2.0)
    outcome = follow(run, each)
    assert outcome.succeeded is (covered is None)
    if covered is not None:
        assert "the same place" in str(outcome.reason)
        assert "Nothing more was done." in str(outcome.reason)
    left = {path.name for place in (ends[0], tmp_path / "seen") for path in place.rglob("*")}
    assert {name.rpartition("/")[2] for name in before} <= left
    assert markers(tmp_path) == []


@pytest.mark.parametrize("covered", [True, False])
def test_server_that_was_away_for_a_while_is_examined_again(
    ends: tuple[Path, Path], servers: Servers, bind: Any, tmp_path: Path, covered: bool
) -> None:
    """An outage is the moment at which the disks of a server change."""
    server = servers.start("sftp", ends[1].parent)
    bind(ends[1], tmp_path / "seen")
    begun_move(ends)
    for number in range(40):  # more than what the limit saves up while nothing is sent
        (ends[0] / f"more {number:02}").write_bytes(os.urandom(1_000_000))
    before = kept(ends[0])
    slow = TransferOrder(
        *(7, 1, "move", str(ends[0]), "nas:photos", "1M"),
        dry_run=False,
        remotes=(servers.remote("nas", server),),
        options=Options(retries=0, transfers=1),
    )
    run = Run(rclone_path(None), slow, data_dir=tmp_path, grace=2.0, patience=60.0)
    frozen: list[float] = []

    def each(run: Run) -> None:
        if not frozen and some_arrived(ends):
            server.freeze()
            frozen.append(time.monotonic())
        elif len(frozen) == 1 and run.trouble is not None:
            if covered:
                bind(ends[0], ends[1])
            else:
                run.limit("off")
            server.thaw()
            frozen.append(time.monotonic())

    outcome = follow(run, each)
    assert len(frozen) == 2
    assert outcome.succeeded is not covered
    left = {path.name for place in (ends[0], tmp_path / "seen") for path in place.rglob("*")}
    lost = {name for name in before if name.rpartition("/")[2] not in left}
    # Some are moved before anybody sees that it answers again.
    assert len(lost) < 40 if covered else lost == set()


@pytest.mark.parametrize("retries", [0, 2])
def test_file_that_vanishes_while_it_is_copied_is_told_and_costs_no_modes(
    ends: tuple[Path, Path], tmp_path: Path, retries: int
) -> None:
    for number in range(8):
        (ends[0] / f"large {number:02}").write_bytes(os.urandom(300_000))
        (ends[0] / f"large {number:02}").chmod(0o640)
    options = Options(retries=retries, transfers=1)
    slow = replace(order("copy", ends, options=options), bandwidth_limit="1M")
    gone: list[str] = []

    def each(run: Run) -> None:
        if not gone and some_arrived(ends):
            arrived = {path.name for path in ends[1].iterdir()}
            for number in range(8):
                name = f"large {number:02}"
                if name not in arrived:
                    (ends[0] / name).unlink()
                    gone.append(name)

    run = Run(rclone_path(None), slow, data_dir=tmp_path, backoff=0.1)
    outcome = follow(run, each)
    assert (outcome.succeeded, gone != []) == (False, True)
    assert (outcome.reason or "").startswith("Some files could not be found when their turn came")
    assert not any("modes" in line.message for line in run.take_log()[0])
    assert {path.stat().st_mode & 0o777 for path in ends[1].glob("large ??")} == {0o640}


@pytest.mark.parametrize("operation", ["copy", "sync"])
def test_source_that_turns_into_another_folder_ends_the_transfer(
    ends: tuple[Path, Path], operation: str
) -> None:
    run = begun_move(ends, operation)
    changed: list[bool] = []

    def each(run: Run) -> None:
        if not changed and some_arrived(ends):
            ends[0].rename(ends[0].with_name("photos of old"))
            photographs(ends[0])
            changed.append(True)

    outcome = follow(run, each)
    assert not outcome.succeeded
    assert (outcome.reason or "").startswith(f"The source ({ends[0]}) is not the same folder")


def test_disk_that_is_mounted_inside_an_end_of_a_move_ends_it(
    ends: tuple[Path, Path], bind: Any, tmp_path: Path
) -> None:
    run = begun_move(ends)
    (ends[1] / "2026").mkdir()
    changed: list[bool] = []

    def each(run: Run) -> None:
        if not changed and some_arrived(ends):
            bind(ends[0] / "2026", ends[1] / "2026")
            changed.append(True)

    outcome = follow(run, each)
    assert (outcome.reason or "").startswith(f"The destination ({ends[1]}) is not the same folder")


@pytest.mark.parametrize("operation", ["copy", "move"])
@pytest.mark.parametrize("paused", [True, False])
def test_folder_that_becomes_a_link_to_the_source_is_not_taken_for_a_copy(
    ends: tuple[Path, Path], operation: str, paused: bool
) -> None:
    """Each file is renamed onto itself, and rclone takes that for moved."""
    run = begun_move(ends, operation)
    (ends[0] / "z last").mkdir()
    (ends[0] / "z last" / "only copy").write_bytes(b"only")
    changed: list[float] = []

    def each(run: Run) -> None:
        if changed and paused and time.monotonic() - changed[0] > 0.1:
            run.resume()
        if not changed and some_arrived(ends):
            if paused:
                run.pause()
            if (ends[1] / "z last").exists():
                (ends[1] / "z last").rename(ends[1] / "aside")
            (ends[1] / "z last").symlink_to(ends[0] / "z last")
            changed.append(time.monotonic())

    outcome = follow(run, each)
    assert not outcome.succeeded
    assert (outcome.reason or "").startswith("The folder z last at the destination has become")
    places = (ends[0] / "z last", ends[1] / "aside")
    assert any((place / "only copy").exists() for place in places)


def test_move_of_one_file_looks_at_the_folder_that_it_lies_in(
    ends: tuple[Path, Path], attempts: Attempts
) -> None:
    before = kept(ends[0])
    assert attempts.run("move", ends[0] / "1.jpg", ends[1]).succeeded
    assert kept(ends[0], ends[1]) == before


# --- files that become others between a plan and its confirmation -------------------------------


def changed_file(ends: tuple[Path, Path]) -> None:
    (ends[1] / "stray").write_bytes(b"87654321")


def changed_folder(ends: tuple[Path, Path]) -> None:
    ends[1].rename(ends[1].with_name("old"))
    ends[1].mkdir()
    (ends[1] / "stray").write_bytes(b"12345678")


def renamed_file(ends: tuple[Path, Path]) -> None:
    (ends[1] / "stray").unlink()
    (ends[1] / "other").write_bytes(b"12345678")
    (ends[1] / "other").rename(ends[1] / "stray")


@pytest.mark.parametrize("change", [changed_file, changed_folder, renamed_file, None])
def test_file_of_the_same_length_is_not_the_one_that_was_confirmed(
    ends: tuple[Path, Path], attempts: Attempts, change: Any
) -> None:
    (ends[1] / "stray").write_bytes(b"12345678")
    plan = attempts.run("sync", *ends, dry_run=True).plan
    assert plan is not None
    assert plan.deletes == 1
    confirmed = ConfirmedPlan(plan.deletes, plan.fingerprint, plan.moment)
    if change:
        change(ends)
    outcome = attempts.run("sync", *ends, confirmed=confirmed)
    assert outcome.succeeded is (change is None)
    assert (ends[1] / "stray").exists() is (change is not None)
    if change:
        told = "It would now delete other files than the ones you confirmed. Nothing was changed."
        assert (outcome.reason or "").startswith(told)


@pytest.fixture
def two_disks(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Between which a move copies: within one it renames, and is over before it can be stopped."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        source, destination = Path(folder, "photos"), tmp_path / "there"
        photographs(source)
        destination.mkdir()
        yield source, destination


@pytest.mark.parametrize("late", [0, 1])
def test_confirmed_move_goes_on_after_a_restart_and_moves_no_more_than_is_left(
    two_disks: tuple[Path, Path], attempts: Attempts, tmp_path: Path, late: int
) -> None:
    ends = two_disks
    for number in range(8):
        (ends[0] / f"large {number:02}").write_bytes(os.urandom(300_000))
    before = kept(ends[0])
    plan = attempts.run("move", *ends, dry_run=True).plan
    assert plan is not None
    confirmed = ConfirmedPlan(plan.deletes, plan.fingerprint, plan.moment)
    slow = order("move", ends, options=Options(retries=0, transfers=1), confirmed=confirmed)
    run = Run(rclone_path(None), replace(slow, bandwidth_limit="300k"), data_dir=tmp_path)
    stopped = follow(run, lambda run: run.stop() if some_arrived(ends) else None)
    assert stopped.stopped
    assert stopped.progress is not None
    # By what is gone: the last figures may be those of a moment before.
    for number in range(late and len(before) - len(kept(ends[0])) + 1):
        (ends[0] / f"late {number}").write_bytes(b"late")
    again = replace(slow, attempt=2)
    outcome = follow(Run(rclone_path(None), again, data_dir=tmp_path, before=stopped.progress))
    assert outcome.succeeded is not bool(late)
    if late:
        assert "Nothing more was changed." in str(outcome.reason)
        assert len(list(ends[0].glob("late *"))) > 0
    else:
        assert kept(ends[1]) == before
        assert kept(ends[0]) == {}


@pytest.mark.parametrize("operation", ["sync", "move"])
@pytest.mark.parametrize("change", ["server", "user", None])
def test_plan_of_one_server_is_not_carried_out_on_another(
    attempts: Attempts, servers: Servers, tmp_path: Path, operation: str, change: str | None
) -> None:
    """An admin has given the remote another address, where files of the same names lie."""
    one, two = (servers.start("sftp", tmp_path / name) for name in ("one", "two"))
    photographs(tmp_path / "here")
    for server in (one, two):
        (server.folder / "to").mkdir()
        (server.folder / "to" / "stray").write_bytes(b"12345678")
    remote = servers.remote("nas", one)
    ends = (tmp_path / "here", "nas:to")
    plan = attempts.run(operation, *ends, remote, dry_run=True).plan
    assert plan is not None
    confirmed = ConfirmedPlan(plan.deletes, plan.fingerprint, plan.moment)
    if change == "server":
        remote = servers.remote("nas", two)
    elif change == "user":
        remote = servers.remote("nas", one, user="somebody")
    before = kept(tmp_path)
    outcome = attempts.run(operation, *ends, remote, confirmed=confirmed)
    assert outcome.succeeded is (change is None)
    if change:
        assert kept(tmp_path) == before
    if change == "server":
        assert (outcome.reason or "").startswith("It would now delete other files")


def test_refusal_after_a_part_was_done_does_not_say_that_nothing_was(
    ends: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty() -> None:
        for path in [path for path in ends[0].rglob("*") if path.is_file()]:
            path.unlink()

    fail_first(monkeypatch, empty)
    (ends[1] / "stray").write_bytes(b"1")
    again = order("sync", ends, options=Options(retries=2))
    outcome = follow(Run(rclone_path(None), again, data_dir=tmp_path, backoff=0.1))
    assert outcome.reason is not None
    assert "Nothing more was done." in outcome.reason
    assert "Nothing was done." not in outcome.reason
