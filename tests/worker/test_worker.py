"""A worker and one job: what it writes, and when it must not."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal.db.clock import elapsed
from portal.engine import FIGURES
from portal.models import Job
from portal.services.actor import Actor
from portal.services.jobs import claims, control, places, rescue
from portal.settings import Settings
from portal.transfers.states import JobStatus
from portal.worker import Worker, attempt
from portal.worker.slots import Slots
from tests.support.transfers import (
    MIB,
    Counted,
    Recorder,
    counted_bytes,
    fill,
    history,
    locked,
    miscounted,
    on_database,
    rclones,
    run_job,
    scripted_rclone,
    status_of,
    stored,
    tree,
)
from tests.support.waiting import wait_for

ENDLESS = """
    done = 0
    while True:
        done += 1000
        tell(done, 10**9)
        time.sleep(0.1)
"""


class Running:
    """A worker at its one job, in a thread."""

    def __init__(self, settings: Settings, job_id: int, grace: float) -> None:
        self.worker = Worker(settings, "test:1", grace=grace)
        self.thread = threading.Thread(target=run_job, args=(self.worker, job_id))
        self.thread.start()

    def ended(self, seconds: float = 15.0) -> bool:
        self.thread.join(seconds)
        return not self.thread.is_alive()


@pytest.fixture
def begin(app: Flask, settings: Settings) -> Iterator[Callable[..., Running]]:
    begun: list[Running] = []

    def start(job_id: int, grace: float = 2.0, **changed: Any) -> Running:
        begun.append(Running(settings.model_copy(update=changed), job_id, grace))
        return begun[-1]

    yield start
    for running in begun:
        running.worker.stop()
        assert running.ended()


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    return scripted_rclone(tmp_path, ENDLESS)


def test_copy_ends_completed_with_equal_files_and_true_figures(
    new_job: Any, execute: Any, root: Path
) -> None:
    source = fill(root / "from", MIB, 3)
    (source / "sub").mkdir()
    (source / "sub" / "zero").touch()
    job_id = new_job(source=source)
    execute(job_id)
    assert tree(root / "to") == tree(source)
    job = stored(job_id)
    assert (job.status, job.exit_code, job.error, job.attempt) == ("completed", 0, None, 1)
    assert (job.bytes_transferred, job.total_bytes, job.percent) == (3 * MIB, 3 * MIB, 100.0)
    assert (job.files_transferred, job.files_total, job.eta_seconds) == (4, 4, 0)
    assert (job.current_files, job.worker) == ([], "test:1")
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.finished_at >= job.started_at


def test_sync_move_and_check_do_what_their_names_say(
    new_job: Any, execute: Any, root: Path
) -> None:
    source = fill(root / "from")
    before = tree(source)
    (root / "to").mkdir()
    (root / "to" / "stray").touch()
    execute(sync := new_job(source=source, operation="sync"))
    assert tree(root / "to") == before
    execute(check := new_job(source=source, operation="check"))
    execute(move := new_job(source=source, destination=root / "moved", operation="move"))
    assert (tree(source), tree(root / "moved")) == ({}, before)
    assert [status_of(job_id) for job_id in (sync, check, move)] == ["completed"] * 3


def test_check_of_unequal_folders_completes_with_what_differs(
    new_job: Any, execute: Any, root: Path
) -> None:
    (root / "to").mkdir()
    execute(job_id := new_job(operation="check"))
    job = stored(job_id)
    assert (job.status, job.outcome, job.error) == ("completed", "different", None)
    assert job.differences is not None
    assert job.differences["only_source"] == {
        "count": 3,
        "names": ["file 0", "file 1", "file 2"],
    }


def test_missing_source_fails_in_plain_words(new_job: Any, execute: Any, root: Path) -> None:
    job_id = new_job(source=root / "none")
    execute(job_id)
    job = stored(job_id)
    assert (job.status, job.exit_code) == ("failed", 3)
    assert job.error == "The source folder does not exist. Check its path, then retry."
    assert any("directory not found" in line for line in job.error_lines)
    assert history(job_id) == ["queued", "running", "failed"]


@pytest.mark.parametrize("side", ["from", "to"])
def test_folder_that_became_a_way_out_since_is_refused_and_nothing_is_copied(
    new_job: Any, execute: Any, root: Path, tmp_path: Path, side: str
) -> None:
    outside = fill(tmp_path / "outside")
    (root / "to").mkdir()
    job_id = new_job()
    before = tree(outside)
    shutil.rmtree(root / side)
    (root / side).symlink_to(outside)
    execute(job_id)
    job = stored(job_id)
    assert (job.status, job.exit_code) == ("failed", None)
    word = {"from": "source", "to": "destination"}[side]
    assert job.error == f"The {word} may no longer be used. The path must be inside {root}."
    assert tree(outside) == before
    assert side == "to" or tree(root / "to") == {}


def test_folders_that_came_to_lie_in_one_another_are_refused(
    new_job: Any, execute: Any, root: Path
) -> None:
    job_id = new_job()
    (root / "to").symlink_to(root / "from")
    execute(job_id)
    job = stored(job_id)
    assert job.status == "failed"
    assert job.error == "The source and the destination overlap."


def test_rclone_that_is_not_there_is_a_failure_of_the_job_in_words(
    new_job: Any, execute: Any, tmp_path: Path
) -> None:
    job_id = new_job()
    execute(job_id, rclone=tmp_path / "none")
    assert stored(job_id).error == f"rclone is missing: there is no file {tmp_path / 'none'}."
    assert status_of(job_id) == "failed"


def test_job_that_is_not_queued_is_left_alone(
    new_job: Any, execute: Any, events: Recorder, root: Path
) -> None:
    job_id = new_job()
    execute(job_id)
    before = stored(job_id).seq
    execute(job_id)
    execute(10_000)
    assert (stored(job_id).seq, stored(job_id).attempt) == (before, 1)


def test_two_workers_at_one_job_run_it_once(
    new_job: Any, begin: Any, events: Recorder, root: Path
) -> None:
    job_id = new_job()
    both = [begin(job_id), begin(job_id)]
    assert all(one.ended() for one in both)
    assert (stored(job_id).attempt, status_of(job_id)) == (1, "completed")
    assert events.statuses(job_id) == ["running", "completed"]


@pytest.mark.one_process
def test_database_that_is_locked_for_seconds_disturbs_no_transfer(
    new_job: Any,
    begin: Any,
    settings: Settings,
    root: Path,
    events: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = new_job(source=fill(root / "from", MIB, 10), bandwidth_limit="2M")
    monkeypatch.setattr("portal.db.session._TIMEOUT", 0.5)  # so that whole tries fail
    running = begin(job_id)
    wait_for(lambda: stored(job_id).bytes_transferred > 0)
    with locked(settings.data_dir):
        time.sleep(2.5)  # the time that the other program takes
    assert running.ended()
    job = stored(job_id)
    assert (job.status, job.bytes_transferred) == ("completed", 10 * MIB)
    times = [event.at for event in events.of(job_id, "job_progress")]
    assert len(times) >= 2
    assert all(b - a >= 0.99 for a, b in itertools.pairwise(times))
    assert tree(root / "to") == tree(root / "from")
    assert miscounted() == {}


@pytest.mark.one_process
def test_pace_of_progress_holds_also_when_its_writes_have_to_wait(
    new_job: Any, begin: Any, settings: Settings, endless: Path, events: Recorder
) -> None:
    job_id = new_job()
    running = begin(job_id, rclone=endless)
    for _ in range(2):
        before = len(events.of(job_id, "job_progress"))
        wait_for(lambda before=before: len(events.of(job_id, "job_progress")) > before)
        time.sleep(0.7)
        with locked(settings.data_dir):
            time.sleep(1.2)  # the next report is due within, and can go out only after
    before = len(events.of(job_id, "job_progress"))
    wait_for(lambda: len(events.of(job_id, "job_progress")) > before)
    running.worker.stop()
    assert running.ended()
    times = [event.at for event in events.of(job_id, "job_progress")]
    assert len(times) >= 3
    assert all(b - a >= 0.99 for a, b in itertools.pairwise(times))


@pytest.mark.one_process
def test_database_that_is_away_for_longer_than_the_patience_loses_no_end(
    new_job: Any, begin: Any, settings: Settings, root: Path
) -> None:
    job_id = new_job(source=fill(root / "from", MIB, 3), bandwidth_limit="1M")
    on_database(settings.data_dir, "ALTER TABLE job_events RENAME TO elsewhere")
    on_database(settings.data_dir, "CREATE TABLE job_events AS SELECT * FROM elsewhere")
    running = begin(job_id)
    wait_for(lambda: rclones(settings.data_dir) and status_of(job_id) == "running")
    on_database(settings.data_dir, "DROP TABLE job_events")
    wait_for(lambda: not rclones(settings.data_dir), 20)
    time.sleep(1.0)  # for one try to fail
    assert status_of(job_id) == "running"
    on_database(settings.data_dir, "ALTER TABLE elsewhere RENAME TO job_events")
    assert running.ended()
    assert status_of(job_id) == "completed"


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets a check before the start find no database so many times; the tries."""

    def let(check: str, times: float) -> list[str]:
        real, tries = getattr(attempt.preflight, check), []

        def find_nothing(*arguments: Any) -> Any:
            tries.append(check)
            if len(tries) <= times:
                raise OperationalError("SELECT 1", {}, Exception("away"))
            return real(*arguments)

        monkeypatch.setattr(attempt, "_ASK_AGAIN", 0.01)
        monkeypatch.setattr(attempt.preflight, check, find_nothing)
        return tries

    return let


@pytest.mark.parametrize("check", ["unfilled_source", "check_endpoints"])
def test_database_that_is_away_just_after_the_claim_costs_a_moment_and_not_the_job(
    new_job: Any, execute: Callable[..., None], away: Callable[..., list[str]], check: str
) -> None:
    tries = away(check, times=2)
    job_id = new_job()
    execute(job_id)
    job = stored(job_id)
    assert (job.status, job.attempt, job.error) == ("completed", 1, None)
    assert len(tries) == 3


def test_job_that_cannot_be_checked_goes_back_when_its_worker_stops(
    new_job: Any, begin: Any, away: Callable[..., list[str]], root: Path
) -> None:
    tries = away("unfilled_source", times=float("inf"))
    job_id = new_job()
    running = begin(job_id)
    wait_for(lambda: len(tries) >= 3)
    assert status_of(job_id) == "running"
    running.worker.stop()
    assert running.ended(5)
    assert history(job_id) == ["queued", "running", "queued"]
    assert not (root / "to").exists()


def test_stop_gives_the_job_back_with_no_rclone_left(
    new_job: Any, begin: Any, user: Any, settings: Settings, root: Path, events: Recorder
) -> None:
    source = fill(root / "from", MIB, 6)
    job_id = new_job(source=source, bandwidth_limit="512k")
    running = begin(job_id)
    wait_for(lambda: stored(job_id).bytes_transferred > MIB)
    running.worker.stop()
    assert running.ended(5)
    assert rclones(settings.data_dir) == []
    job = stored(job_id)
    assert (job.status, job.worker, job.attempt, job.interruptions) == ("queued", None, 1, 0)
    assert MIB < job.bytes_transferred < 6 * MIB
    so_far = job.percent
    assert so_far is not None
    assert so_far > 0
    assert counted_bytes().dashboard == job.bytes_transferred
    assert not run_job(running.worker, job_id)  # one that was stopped claims nothing
    assert status_of(job_id) == "queued"
    control.limit(job_id, None, actor=Actor(user("bob")))
    assert begin(job_id).ended(30)
    job = stored(job_id)
    assert (job.status, job.attempt) == ("completed", 2)
    assert (job.bytes_transferred, job.total_bytes) == (6 * MIB, 6 * MIB)
    assert (job.files_transferred, job.files_total, job.files_unchanged) == (6, 6, 0)
    assert counted_bytes() == Counted(6 * MIB, 6 * MIB, 6 * MIB)
    percents = [event.data["percent"] for event in events.of(job_id, "job_progress")]
    assert percents == sorted(percents, key=lambda percent: percent or 0)
    assert tree(root / "to") == tree(source)
    assert events.statuses(job_id) == ["running", "queued", "running", "completed"]


def test_stop_of_a_job_that_is_being_cancelled_makes_it_cancelled_with_its_bytes(
    app: Flask, new_job: Any, begin: Any, endless: Path, user: Any
) -> None:
    job_id = new_job()
    running = begin(job_id, rclone=endless)
    wait_for(lambda: stored(job_id).bytes_transferred > 0)
    running.worker.stop()
    with app.app_context():
        control.cancel(job_id, actor=Actor(user("bob")))
    assert running.ended()
    assert status_of(job_id) == "cancelled"
    assert stored(job_id).bytes_transferred > 0


def test_stop_against_the_end_of_a_transfer_leaves_it_done_or_queued(
    new_job: Any, begin: Any, tmp_path: Path
) -> None:
    quick = scripted_rclone(tmp_path, "tell(1000, 1000, transfers=1)")
    for step in range(10):
        job_id = new_job()
        running = begin(job_id, rclone=quick)
        wait_for(lambda job_id=job_id: status_of(job_id) != "queued")
        running.thread.join(step * 0.02)
        running.worker.stop()
        assert running.ended()
        job = stored(job_id)
        assert (job.status, job.percent == 100.0) in (("completed", True), ("queued", False))
    assert miscounted() == {}


def test_worker_that_lost_its_job_ends_rclone_and_writes_nothing(
    new_job: Any, begin: Any, endless: Path, settings: Settings, events: Recorder
) -> None:
    job_id = new_job()
    running = begin(job_id, rclone=endless)
    wait_for(lambda: rclones(settings.data_dir) == [job_id])
    rescue.recover()  # someone thinks this worker dead
    second = claims.claim(job_id, "other:2")
    assert second is not None
    assert running.ended(5)
    assert rclones(settings.data_dir) == []
    job = stored(job_id)
    assert (job.status, job.attempt, job.worker, job.seq) == ("running", 2, "other:2", second.seq)
    assert events.of(job_id)[-1].data["seq"] == second.seq


@pytest.mark.one_process
def test_fault_of_the_portal_is_recorded_and_rclone_ended(
    new_job: Any, begin: Any, endless: Path, settings: Settings
) -> None:
    job_id = new_job()
    on_database(
        settings.data_dir,
        "CREATE TRIGGER refuse BEFORE UPDATE OF bytes_transferred ON jobs "
        "WHEN NEW.status = 'running' AND NEW.bytes_transferred > 0 "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    assert begin(job_id, rclone=endless).ended()
    assert rclones(settings.data_dir) == []
    job = stored(job_id)
    assert (job.status, job.error) == (
        "failed",
        "The portal failed while running this transfer.",
    )
    assert miscounted() == {}


@pytest.mark.parametrize(
    ("where", "fault"),
    [("reports.report_progress", OverflowError), ("claims.read_directives", ZeroDivisionError)],
)
def test_reporter_that_met_a_fault_reports_the_next_job(
    new_job: Any,
    begin: Any,
    endless: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: Any,
    root: Path,
    where: str,
    fault: type[Exception],
) -> None:
    def fail(*_: object) -> None:
        raise fault("a figure beyond what SQLite takes, say")

    first = new_job(destination=root / "one")
    with monkeypatch.context() as broken:
        broken.setattr(f"portal.services.jobs.{where}", fail)
        running = begin(first, rclone=endless)
        assert running.ended()
    assert (status_of(first), stored(first).error) == (
        "failed",
        "The portal failed while running this transfer.",
    )
    second = new_job(destination=root / "two")
    again = threading.Thread(target=run_job, args=(running.worker, second))
    again.start()
    wait_for(lambda: stored(second).bytes_transferred > 0)
    control.cancel(second, actor=Actor(user("bob")))
    again.join(10)
    assert status_of(second) == "cancelled"


@pytest.mark.parametrize("part", ["end", "say"])
def test_end_that_cannot_be_written_is_a_failure_and_no_job_that_runs_for_ever(
    new_job: Any, execute: Any, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: object) -> None:
        raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")

    job_id = new_job()
    real = attempt.AttemptLog.say
    if part == "end":
        monkeypatch.setattr(attempt.AttemptLog, "end", fail)
    else:
        said: list[str] = []

        def say(log: attempt.AttemptLog, level: str, text: str) -> None:
            said.append(text)
            (real if len(said) == 1 else fail)(log, level, text)

        monkeypatch.setattr(attempt.AttemptLog, "say", say)
    execute(job_id)
    assert (status_of(job_id), stored(job_id).error) == (
        "failed",
        "The portal failed while running this transfer.",
    )


def test_reason_with_a_name_that_is_no_text_is_told_readably(
    new_job: Any, execute: Any, root: Path
) -> None:
    strange = root / os.fsdecode(b"pipe \xff")
    os.mkfifo(strange)
    (root / "link").symlink_to(strange)
    job_id = new_job(source=root / "link")
    execute(job_id)
    job = stored(job_id)
    assert job.status == "failed"
    assert "pipe \\udcff" in job.error


def test_lease_begins_with_the_claim_and_not_while_names_are_looked_up(
    new_job: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[float] = []
    real = places.of_queued

    def slowly(job_id: int) -> Any:
        found = real(job_id)
        looked_up.append(elapsed())
        return found

    monkeypatch.setattr(places, "of_queued", slowly)
    slot = Slots(1, freed=lambda: None).take()
    assert slot is not None
    claimed = Worker(settings, "test:1").claim(new_job(), slot)
    assert claimed is not None
    assert len(looked_up) == 1
    assert claimed._claimed_at >= looked_up[0]


@pytest.mark.one_process
def test_worker_that_is_stopped_gives_up_on_a_database_that_stays_away(
    new_job: Any, begin: Any, settings: Settings, endless: Path
) -> None:
    job_id = new_job()
    running = begin(job_id, rclone=endless)
    wait_for(lambda: rclones(settings.data_dir) == [job_id])
    on_database(settings.data_dir, "ALTER TABLE job_events RENAME TO elsewhere")
    running.worker.stop()
    assert running.ended(8)
    assert rclones(settings.data_dir) == []
    on_database(settings.data_dir, "ALTER TABLE elsewhere RENAME TO job_events")
    rescue.recover()  # what the next start does
    assert history(job_id) == ["queued", "running", "interrupted", "queued"]


def test_silent_rclone_is_held_by_a_heartbeat_and_cancelled_all_the_same(
    app: Flask,
    new_job: Any,
    begin: Any,
    tmp_path: Path,
    user: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portal.worker.progress_reporter.HEARTBEAT", 0.5)
    silent = scripted_rclone(tmp_path, "time.sleep(60)")
    job_id = new_job()
    running = begin(job_id, rclone=silent)
    wait_for(lambda: status_of(job_id) == "running")
    first = stored(job_id).heartbeat_at
    wait_for(lambda: stored(job_id).heartbeat_at != first)
    with app.app_context():
        control.cancel(job_id, actor=Actor(user("bob")))
    assert running.ended()
    assert (status_of(job_id), stored(job_id).bytes_transferred) == (JobStatus.CANCELLED, 0)


def test_rclone_killed_from_outside_is_a_failure_that_says_so(
    new_job: Any, begin: Any, tmp_path: Path
) -> None:
    job_id = new_job()
    dying = scripted_rclone(tmp_path, "tell(700, 1000)\nos.kill(os.getpid(), signal.SIGKILL)")
    assert begin(job_id, rclone=dying).ended()
    job = stored(job_id)
    assert job.status == "failed"
    assert "killed by signal 9 (SIGKILL)" in job.error
    assert job.bytes_transferred == 700


def test_environment_of_rclone_holds_nothing_of_the_portals(
    new_job: Any, begin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "environment"
    monkeypatch.setenv("RCLONE_DRY_RUN", "true")
    monkeypatch.setenv("PORTAL_SECRET_KEY", "x" * 40)
    script = scripted_rclone(
        tmp_path, f"open({str(told)!r}, 'w').write(json.dumps(dict(os.environ)))"
    )
    assert begin(new_job(), rclone=script).ended()
    assert "RCLONE_DRY_RUN" not in told.read_text()
    assert "PORTAL_SECRET_KEY" not in told.read_text()
    assert os.environ["PORTAL_SECRET_KEY"] not in told.read_text()


@pytest.mark.parametrize("operation", ["copy", "check"])
def test_job_whose_worker_died_ends_with_the_figures_of_all_attempts(
    new_job: Any, begin: Any, events: Recorder, root: Path, operation: str
) -> None:
    source = fill(root / "from", MIB, 8)
    fill(root / "to" / "older", 100, 2)
    moves = operation == "copy"
    job_id = new_job(source=source, operation=operation, bandwidth_limit="1M" if moves else None)
    first = begin(job_id)
    wait_for(lambda: stored(job_id).bytes_transferred > 2 * MIB or not moves)
    rescue.recover()  # as the start of a portal does that was killed
    before = stored(job_id)
    assert first.ended(5)
    assert begin(job_id).ended(40)
    job = stored(job_id)
    assert job.status == "completed"
    moved = 8 * MIB if moves else 0
    assert (job.bytes_transferred, job.total_bytes) == (moved, moved)
    assert counted_bytes() == Counted(moved, moved, moved)
    if moves:
        assert before.bytes_transferred > 2 * MIB
        assert (job.files_transferred, job.files_total, job.files_unchanged) == (8, 8, 0)
        assert (job.attempt, job.interruptions) == (2, 1)
    told = [event.data for event in events.of(job_id, "job_progress")]
    for name in ("bytes_transferred", "percent", "files_transferred"):
        values = [event[name] or 0 for event in told]
        assert values == sorted(values), name


@pytest.mark.parametrize(
    ("figures", "kept"),
    [
        ({"files_deleted": 43}, True),
        ({"files_transferred": 2}, True),
        ({"total_bytes": 0}, True),
        ({}, False),
    ],
)
def test_next_attempt_goes_on_from_the_figures_of_one_that_did_anything(
    figures: dict[str, int], kept: bool
) -> None:
    nothing = {name: 0 for name, figure in FIGURES.items() if figure.kept}
    row = nothing | {"total_bytes": None, "percent": None} | figures
    before = attempt._before(Job(attempt=2, **row))
    assert (before is not None) == kept
    assert attempt._before(Job(attempt=1, **row)) is None
    for name, value in figures.items():
        assert getattr(before, name) == value
