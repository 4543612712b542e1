"""Figures are those of the files: nothing that was sent twice, nothing that was left out."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.engine import Phase, Progress, Run, TransferOrder, rclone_path
from portal.engine.output.cumulative_progress import CumulativeProgress
from portal.engine.output.progress import ProgressParser
from portal.engine.output.report import MAX_NAMES, Report
from portal.engine.output.statistics import Done, FileAction, parse
from portal.transfers.options import Options
from tests.support.transfers import reading


def files(folder: Path, number: int, size: int = 1000) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        (folder / f"file {index:03}").write_bytes(os.urandom(size))
    return folder


def attempt(tmp_path: Path, *sides: Path, before: Progress | None = None, **more: Any) -> Run:
    order: dict[str, Any] = {
        "operation": "copy",
        "bandwidth_limit": None,
        "dry_run": False,
        "options": Options(retries=0),
    } | more
    return Run(
        rclone_path(None),
        TransferOrder(1, 1, source=str(sides[0]), destination=str(sides[1]), **order),
        data_dir=tmp_path,
        before=before,
    )


def followed(run: Run) -> Progress:
    """The last figures, after all of them were seen never to fall."""
    last = reading()
    for one in run.readings():
        if one is not None:
            assert one.bytes_transferred >= last.bytes_transferred or last.total_bytes is None
            assert (one.percent or 0) >= (last.percent or 0)
            assert one.total_bytes is None or one.bytes_transferred <= one.total_bytes
            last = one
    run.close()
    progress = run.outcome().progress
    assert progress is not None
    return progress


# --- what was there already, and what was deleted -----------------------------------------------


def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with 3 files that are equal, 1 that differs, 1 new and 4 old ones."""
    source, to = files(tmp_path / "from", 5), tmp_path / "to"
    shutil.copytree(source, to)
    (to / "file 003").write_text("another")
    (to / "file 004").unlink()
    files(to / "old", 4)
    return source, to


@pytest.mark.parametrize(
    ("operation", "deleted"), [("copy", 0), ("sync", 4), ("move", 0)], ids=("copy", "sync", "move")
)
def test_files_that_are_there_already_are_told(
    tmp_path: Path, operation: str, deleted: int
) -> None:
    last = followed(attempt(tmp_path, *pair(tmp_path), operation=operation))
    assert (last.files_unchanged, last.files_deleted) == (3, deleted)
    assert (last.files_transferred, last.files_total, last.bytes_transferred) == (2, 2, 2000)
    assert last.bytes_arrived == 2000


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
def test_second_time_there_is_nothing_to_do(tmp_path: Path, operation: str) -> None:
    source, to = files(tmp_path / "from", 3), tmp_path / "to"
    shutil.copytree(source, to)
    last = followed(attempt(tmp_path, source, to, operation=operation))
    assert (last.files_unchanged, last.files_total, last.total_bytes) == (3, 0, 0)
    assert last.percent == 100.0


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
@pytest.mark.parametrize("options", [Options(retries=0), Options(retries=0, include=("*",))])
def test_single_file_that_is_there_already_is_one_file(
    tmp_path: Path, operation: str, options: Options
) -> None:
    source, to = files(tmp_path / "from", 3), tmp_path / "to"
    shutil.copytree(source, to)
    run = attempt(tmp_path, source / "file 001", to, operation=operation, options=options)
    last = followed(run)
    assert (last.files_unchanged, last.files_total, last.percent) == (1, 0, 100.0)
    last = followed(attempt(tmp_path, source / "file 002", tmp_path / "new", operation=operation))
    assert (last.files_unchanged, last.files_transferred, last.files_total) == (0, 1, 1)


@pytest.mark.parametrize("operation", ["copy", "move"])
def test_folder_without_files_has_none_that_are_there_already(
    tmp_path: Path, operation: str
) -> None:
    (tmp_path / "from" / "empty").mkdir(parents=True)
    last = followed(attempt(tmp_path, tmp_path / "from", tmp_path / "to", operation=operation))
    assert (last.files_unchanged, last.files_total, last.percent) == (0, 0, 100.0)


@pytest.mark.parametrize(
    ("operation", "deletes"), [("copy", 0), ("sync", 4), ("move", 5)], ids=("copy", "sync", "move")
)
def test_dry_run_tells_what_it_would_leave(tmp_path: Path, operation: str, deletes: int) -> None:
    run = attempt(tmp_path, *pair(tmp_path), operation=operation, dry_run=True)
    last = followed(run)
    plan = run.outcome().plan
    assert plan is not None
    assert (plan.copies, plan.deletes, plan.unchanged) == (2, deletes, 3)
    assert last.files_unchanged == 3


def test_folder_of_empty_files_is_counted_in_files(tmp_path: Path) -> None:
    source = files(tmp_path / "from", 12, size=0)
    last = followed(attempt(tmp_path, source, tmp_path / "to"))
    assert (last.files_transferred, last.files_total) == (12, 12)
    assert (last.bytes_transferred, last.total_bytes, last.percent) == (0, 0, 100.0)


# --- files that fail ----------------------------------------------------------------------------


def test_files_that_vanish_stay_in_the_total(tmp_path: Path) -> None:
    source = files(tmp_path / "from", 40, size=50_000)
    run = attempt(tmp_path, source, tmp_path / "to", bandwidth_limit="500k")
    gone = False
    for one in run.readings():
        if one is not None and one.files_transferred and not gone:
            for number in range(35, 40):
                (source / f"file {number:03}").unlink()
            gone = True
    outcome = run.outcome()
    last = outcome.progress
    assert not outcome.succeeded
    assert last is not None
    assert (last.files_transferred, last.files_total) == (35, 40)
    assert (last.bytes_transferred, last.total_bytes) == (35 * 50_000, 40 * 50_000)
    assert last.percent is not None
    assert last.percent <= 87.5 + 0.1
    run.close()


def test_files_that_are_gone_when_it_is_tried_again_are_not_told_to_have_arrived() -> None:
    cumulative = CumulativeProgress("copy", False)
    cumulative.read(reading(350, 400, bytes_arrived=350, files_transferred=35, files_total=40))
    cumulative.start_retry()
    last = cumulative.read(reading(0, 0, percent=100.0, files_transferred=0, files_total=0))
    assert (last.bytes_transferred, last.total_bytes, last.percent) == (350, 350, 100.0)
    assert (last.files_transferred, last.files_total) == (35, 35)


def test_files_that_arrive_when_it_is_tried_again_complete_the_total() -> None:
    cumulative = CumulativeProgress("copy", False)
    cumulative.read(reading(265, 300, bytes_arrived=265, files_transferred=265, files_total=300))
    cumulative.start_retry()
    cumulative.read(reading(0, 35, bytes_arrived=0, files_transferred=0, files_total=35))
    last = cumulative.read(reading(35, 35, percent=100.0, files_transferred=35, files_total=35))
    assert (last.files_transferred, last.files_total) == (300, 300)
    assert (last.bytes_transferred, last.total_bytes) == (300, 300)


def test_files_that_failed_before_a_figure_was_reported_are_in_the_total() -> None:
    parser = ProgressParser("copy", dry_run=False)
    for number in range(5):
        line = b'{"level":"error","msg":"Failed to copy: gone","object":"%d"}' % number
        done = parse(line).done
        assert done is not None
        parser.note(done)
    stats = parse(
        b'{"stats":{"bytes":350,"totalBytes":350,"transfers":35,"totalTransfers":35,"errors":5}}'
    ).statistics
    assert stats is not None
    assert (parser.read(stats).files_total, parser.read(stats).files_transferred) == (40, 35)


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
@pytest.mark.parametrize("in_the_way", ["file 003", "sub"])
def test_what_arrived_beside_a_file_that_failed_is_counted(
    tmp_path: Path, operation: str, in_the_way: str
) -> None:
    """So few files that rclone tells its figures once, at the very end."""
    source, to = files(tmp_path / "from", 6), tmp_path / "to"
    if in_the_way == "sub":
        shutil.move(source / "file 000", files(source / "sub", 0) / "file 000")
        files(to, 0).joinpath("sub").write_text("a file where a folder should be")
    else:
        files(to / in_the_way, 1)
    run = attempt(tmp_path, source, to, operation=operation)
    last = followed(run)
    assert not run.outcome().succeeded
    assert (last.files_transferred, last.files_total) == (5, 6)
    assert (last.bytes_transferred, last.bytes_arrived) == (5000, 5000)


# --- what is sent twice -------------------------------------------------------------------------


def lines(parser: ProgressParser, *said: bytes) -> Progress:
    last = None
    for raw in said:
        line = parse(raw)
        if line.done is not None:
            parser.note(line.done)
        if line.statistics is not None:
            last = parser.read(line.statistics)
    assert last is not None
    return last


def stats(
    done: int, total: int, sent: int | None = None, size: int = 1000, more: str = ""
) -> bytes:
    transferring = ""
    if sent is not None:
        transferring = f',"transferring":[{{"name":"a","bytes":{sent},"size":{size}}}]'
    return (
        f'{{"stats":{{"bytes":{done},"totalBytes":{total},"totalTransfers":1,"elapsedTime":1'
        f"{more}{transferring}}}}}"
    ).encode()


COPIED = b'{"level":"info","msg":"Copied (new)","object":"a","size":1000}'


def test_file_that_is_sent_fifty_times_counts_once() -> None:
    parser = ProgressParser("copy", dry_run=False)
    for again in range(50):
        for sent in (400, 1000):
            told = lines(parser, stats(again * 1000 + sent, again * 1000 + 1000, sent))
            assert told.total_bytes == 1000
            assert told.bytes_transferred <= 1000
    last = lines(parser, COPIED, stats(50_000, 50_000, more=',"transfers":1'))
    assert (last.bytes_transferred, last.total_bytes, last.bytes_arrived) == (1000, 1000, 1000)
    done = parser.finish(True)
    assert done is not None
    assert (done.bytes_transferred, done.total_bytes, done.percent) == (1000, 1000, 100.0)


def test_file_that_has_arrived_and_is_still_listed_counts_once() -> None:
    parser = ProgressParser("copy", dry_run=False)
    told = lines(parser, stats(1000, 5000, 1000), COPIED, stats(1000, 5000, 1000))
    assert (told.bytes_transferred, told.total_bytes) == (1000, 5000)


def test_figures_that_rclone_looked_at_one_after_another_raise_no_total() -> None:
    parser = ProgressParser("copy", dry_run=False)
    # By the time it comes to the file, more of it is sent than it has counted.
    told = lines(parser, stats(400, 9000, 440))
    assert (told.bytes_transferred, told.total_bytes) == (400, 9000)
    told = lines(parser, stats(1400, 10_000, 500), stats(1500, 10_000, 540))
    assert (told.bytes_transferred, told.total_bytes) == (540, 9000)


def test_file_of_unknown_size_has_a_total_once_it_has_arrived() -> None:
    parser = ProgressParser("copy", dry_run=False)
    told = lines(parser, stats(500, 500, 500, size=-1))
    assert (told.bytes_transferred, told.total_bytes) == (500, 500)
    assert told.percent is None or told.percent < 100
    assert told.eta_seconds in (0, None)
    told = lines(parser, COPIED, stats(1000, 1000, more=',"transfers":1'))
    assert (told.bytes_transferred, told.total_bytes) == (1000, 1000)


def test_file_that_grows_while_it_is_read_is_no_more_than_its_size() -> None:
    parser = ProgressParser("copy", dry_run=False)
    told = lines(parser, stats(1500, 1500, 1500))
    assert (told.bytes_transferred, told.total_bytes) == (1000, 1000)


# --- over attempts ------------------------------------------------------------------------------


def test_copy_whose_rclone_was_killed_ends_with_the_figures_of_all(tmp_path: Path) -> None:
    source = files(tmp_path / "from", 10, size=400_000)
    to = tmp_path / "to"
    run = attempt(tmp_path, source, to, bandwidth_limit="1500k")
    leader: list[int] = []
    killed_at = None
    for one in run.readings(leader.append):
        if one is not None and one.bytes_transferred > 1_500_000 and killed_at is None:
            killed_at = one
            os.killpg(leader[0], signal.SIGKILL)
    run.close()
    assert killed_at is not None
    # As the database has it after the portal was killed too: what was told last.
    last = followed(attempt(tmp_path, source, to, before=killed_at))
    assert (last.files_transferred, last.files_total) == (10, 10)
    assert (last.bytes_transferred, last.total_bytes) == (4_000_000, 4_000_000)
    assert last.files_unchanged == 0


@pytest.mark.parametrize("operation", ["copy", "sync"])
def test_files_that_arrived_before_the_first_statistics_of_a_stopped_attempt_count(
    tmp_path: Path, operation: str
) -> None:
    """A portal that is stopped a moment after the start of a job."""
    source, to = files(tmp_path / "from", 3), tmp_path / "to"
    for index in range(3):
        (source / f"large {index}").write_bytes(os.urandom(300_000))
    run = attempt(tmp_path, source, to, operation=operation, bandwidth_limit="250k")
    for _ in run.readings(tick=0.005):
        if sum(1 for _ in to.glob("file ???")) == 3:
            run.stop()
    run.close()
    stopped = run.outcome().progress
    assert stopped is not None
    assert stopped.files_transferred >= 3
    assert stopped.bytes_arrived >= 3000
    assert (stopped.percent or 0) < 100
    assert stopped.total_bytes in (None, 903_000)
    last = followed(attempt(tmp_path, source, to, operation=operation, before=stopped))
    assert (last.files_transferred, last.files_total, last.files_unchanged) == (6, 6, 0)
    assert (last.bytes_transferred, last.total_bytes) == (903_000, 903_000)


def test_files_that_arrived_after_the_last_statistics_count_too() -> None:
    tracker = ProgressParser("copy", dry_run=False)
    lines(tracker, stats(0, 3000, 0))
    tracker.note(Done(FileAction.COPIED, "one", 1000))
    tracker.note(Done(FileAction.COPIED, "two", 1000))
    stopped = tracker.finish(False)
    assert stopped is not None
    assert (stopped.bytes_transferred, stopped.bytes_arrived) == (2000, 2000)
    assert (stopped.files_transferred, stopped.total_bytes) == (2, 3000)


def test_nobody_knows_of_how_much_before_the_first_statistics() -> None:
    tracker = ProgressParser("copy", dry_run=False)
    tracker.note(Done(FileAction.COPIED, "one", 1000))
    for stopped in (tracker.finish(False), tracker.finish(False)):  # whoever asks, and again
        assert stopped is not None
        assert (stopped.bytes_transferred, stopped.files_transferred) == (1000, 1)
        assert (stopped.total_bytes, stopped.percent) == (None, None)


def test_attempt_that_did_nothing_has_no_figures() -> None:
    assert ProgressParser("copy", dry_run=False).finish(False) is None


def test_files_that_came_between_two_attempts_belong_to_both(tmp_path: Path) -> None:
    source, to = files(tmp_path / "from", 4), tmp_path / "to"
    files(to, 0)
    for number in range(2):
        shutil.copy2(source / f"file {number:03}", to)
    before = reading(
        2500, 4000, percent=62.5, files_transferred=2, files_total=4, bytes_arrived=2000
    )
    (source / "new").write_bytes(b"n" * 700)
    last = followed(attempt(tmp_path, source, to, before=before))
    assert (last.bytes_transferred, last.total_bytes) == (4700, 4700)
    assert (last.files_transferred, last.files_total, last.files_unchanged) == (5, 5, 0)


@pytest.mark.parametrize("begun", [False, True])
def test_what_arrived_in_a_retry_too_short_to_tell_a_total_is_counted(begun: bool) -> None:
    """Something failed in it, so that its total is not known."""
    first = reading(
        5000, 9000, percent=55.5, files_transferred=5, files_total=9, bytes_arrived=5000
    )
    figures = CumulativeProgress("copy", dry_run=False, before=None if begun else first)
    if begun:
        figures.read(first)
        figures.start_retry()
    told = figures.read(
        reading(3000, None, percent=None, files_transferred=3, files_total=4, bytes_arrived=3000)
    )
    assert (told.bytes_transferred, told.bytes_arrived, told.total_bytes) == (8000, 8000, 9000)
    assert (told.files_transferred, told.files_total) == (8, 9)
    assert told.percent == pytest.approx(88.8)


def test_deletions_before_the_first_statistics_are_counted() -> None:
    parser = ProgressParser("sync", False)
    for number in range(43):
        parser.note(Done(FileAction.DELETED, f"{number}", 0))
    told = parser.finish(succeeded=False)
    assert told is not None
    assert told.files_deleted == 43


def test_deletions_of_all_attempts_are_added_while_nothing_is_transferred() -> None:
    nothing = {"percent": None, "files_transferred": 0, "files_total": 0, "bytes_arrived": 0}
    before = reading(0, None, files_deleted=43, **nothing)
    figures = CumulativeProgress("sync", dry_run=False, before=before)
    assert figures.read(reading(0, None, files_deleted=200, **nothing)).files_deleted == 243
    done = {**nothing, "percent": 100.0}
    assert figures.read(reading(0, 0, files_deleted=257, **done)).files_deleted == 300


def test_files_of_a_move_that_have_arrived_and_lie_at_the_source_are_known() -> None:
    parser = ProgressParser("move", False)
    for name, size in (("a", 10), ("b", 20), ("c", 30)):
        parser.note(Done(FileAction.COPIED, name, size))
    parser.note(Done(FileAction.DELETED, "b", 0))
    parser.note(Done(FileAction.MOVED, "renamed", 0))
    assert parser.copied_only == (2, 40)


def test_files_of_a_move_that_come_once_more_count_once() -> None:
    """The server went away between their copy and their deletion, and keeps no hashes."""
    figures = CumulativeProgress("move", False)
    figures.read(
        reading(4000, 10_000, percent=40.0, files_transferred=4, files_total=10, bytes_arrived=4000)
    )
    figures.start_retry()
    figures.repeat(1, 1000)
    told = figures.read(
        reading(0, 7000, percent=0.0, files_transferred=0, files_total=7, bytes_arrived=0)
    )
    assert (told.files_transferred, told.files_total, told.total_bytes) == (4, 10, 10_000)
    told = figures.read(
        reading(7000, 7000, percent=100.0, files_transferred=7, files_total=7, bytes_arrived=7000)
    )
    assert (told.files_transferred, told.files_total) == (10, 10)
    assert (told.bytes_transferred, told.total_bytes) == (10_000, 10_000)


def test_files_that_are_sent_once_more_count_once() -> None:
    """Where nothing but the bytes can tell that a file is there already."""
    figures = CumulativeProgress("sync", False)
    figures.sends_again = True
    first = figures.read(reading(2000, 3200, files_transferred=5, files_total=8))
    figures.start_retry()
    again = figures.read(reading(400, 3200, files_transferred=1, files_total=8))
    assert (again.bytes_transferred, again.total_bytes) == (2000, 3200)
    assert (again.files_transferred, again.files_total) == (5, 8)
    assert (again.percent or 0) >= (first.percent or 0)
    last = figures.read(reading(3200, 3200, files_transferred=8, files_total=8, percent=100.0))
    assert (last.bytes_transferred, last.total_bytes, last.percent) == (3200, 3200, 100.0)
    assert (last.files_transferred, last.files_total) == (8, 8)


def test_attempt_that_never_began_keeps_the_figures_of_the_ones_before(tmp_path: Path) -> None:
    before = reading(500, 1000)
    run = attempt(tmp_path, tmp_path / "gone", tmp_path / "to", before=before)
    last = followed(run)
    assert (last.bytes_transferred, last.total_bytes, last.percent) == (500, 1000, 50.0)


@pytest.mark.parametrize("operation", ["copy", "move", "sync"])
def test_attempt_that_is_stopped_while_it_is_paused_adds_nothing(
    tmp_path: Path, operation: str
) -> None:
    """As a portal that is restarted while a job is paused, once or twice."""
    before = reading(2000, 3000, files_transferred=2, files_total=3, bytes_arrived=2000)
    for _ in range(2):
        sides = (files(tmp_path / "from", 3), tmp_path / "to")
        run = attempt(tmp_path, *sides, operation=operation, before=before)
        run.pause()
        for looks, _ in enumerate(run.readings(tick=0.01)):
            if looks == 3:
                run.stop()
        run.close()
        last = run.outcome().progress
        assert last is not None
        assert (last.bytes_transferred, last.total_bytes) == (2000, 3000)
        assert (last.files_transferred, last.files_total) == (2, 3)
        before = last


sizes = st.lists(st.integers(0, 1000), min_size=1, max_size=8)


@st.composite
def attempts(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int, bool, int]]]:
    """Sizes of files, and for each attempt: files that arrive, of these the ones that are told, how
    much of the next one is sent, whether it is told of more than once."""
    chosen = draw(sizes)
    steps, left = [], len(chosen)
    for _ in range(draw(st.integers(0, 4))):
        arrive = draw(st.integers(0, left))
        told = draw(st.integers(0, arrive))
        steps.append((arrive, told, draw(st.booleans()), draw(st.integers(0, 1000))))
        left -= arrive
    return chosen, steps


@settings(deadline=None, max_examples=300)
@given(attempts())
def test_figures_of_any_row_of_attempts_never_fall_and_end_at_the_files(
    given_attempts: tuple[list[int], list[tuple[int, int, bool, int]]],
) -> None:
    chosen, steps = given_attempts
    total, seen = sum(chosen), [reading(0, None, files_transferred=0, files_total=0, percent=None)]

    def told(
        cumulative: CumulativeProgress, arrived: int, part: int, left: list[int], **more: Any
    ) -> None:
        whole = sum(left[:arrived])
        figures = reading(
            whole + part,
            sum(left),
            **{
                "bytes_arrived": whole,
                "files_transferred": arrived,
                "files_total": len(left),
                **more,
            },
        )
        now = cumulative.read(figures)
        last = seen[-1]
        assert now.bytes_transferred >= last.bytes_transferred
        assert (now.percent or 0) >= (last.percent or 0)
        assert now.files_transferred >= last.files_transferred
        assert now.total_bytes is not None
        assert now.bytes_transferred <= now.total_bytes <= total
        assert now.files_transferred <= now.files_total <= len(chosen)
        seen.append(now)

    left, cumulative = list(chosen), CumulativeProgress("copy", False)
    for arrive, known, dies, part in steps:
        told(cumulative, 0, 0, left)
        next_one = left[known] if known < len(left) else 0
        told(cumulative, known, min(part, next_one), left)
        if not dies:
            # What was sent of a file stays counted while the same file is sent again.
            sent = sum(left[:known]) + min(part, next_one)
            told(cumulative, arrive, max(0, sent - sum(left[:arrive])), left)
        left = left[arrive:]
        if dies:
            cumulative = CumulativeProgress("copy", False, seen[-1])
        else:
            cumulative.start_retry()
    told(cumulative, len(left), 0, left, percent=100.0)
    last = seen[-1]
    assert (last.bytes_transferred, last.total_bytes) == (total, total)
    assert (last.files_transferred, last.files_total) == (len(chosen), len(chosen))
    assert last.percent == 100.0


# --- the answer of a check ----------------------------------------------------------------------


def checked(tmp_path: Path, *sides: Path, **more: Any) -> Any:
    run = attempt(tmp_path, *sides, operation="check", **more)
    followed(run)
    return run.outcome()


def test_check_names_what_differs_in_three_lists(tmp_path: Path) -> None:
    source, to = pair(tmp_path)
    outcome = checked(tmp_path, source, to)
    found = outcome.found
    assert (outcome.succeeded, outcome.exit_code, found.outcome) == (True, 1, "different")
    assert found.difference_names == {
        "different": ["file 003"],
        "only_source": ["file 004"],
        "only_destination": [f"old/file {number:03}" for number in range(4)],
    }
    assert {kind: one["count"] for kind, one in found.differences.items()} == {
        "different": 1,
        "only_source": 1,
        "only_destination": 4,
    }
    assert outcome.progress.files_unchanged == 3


def test_check_of_names_of_any_kind(tmp_path: Path) -> None:
    source, to = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    to.mkdir()
    odd = [b"line\nbreak", b"= equal", b"* star", b"\xff\xfe", "ünïcödé ☃".encode(), b" space "]
    for name in odd:
        Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_text("x")
    outcome = checked(tmp_path, source, to)
    assert outcome.found.differences["only_source"]["count"] == len(odd)
    names = outcome.found.difference_names["only_source"]
    assert {"= equal", "* star", "ünïcödé ☃", " space "} <= set(names)
    assert len(names) == len(odd)
    assert all("\n" not in name for name in names)


def test_check_of_equal_folders_says_so(tmp_path: Path) -> None:
    source = files(tmp_path / "from", 3)
    shutil.copytree(source, tmp_path / "to")
    outcome = checked(tmp_path, source, tmp_path / "to")
    assert (outcome.succeeded, outcome.found.outcome) == (True, "equal")
    assert (outcome.found.differences, outcome.found.difference_names) == (None, None)


def test_check_against_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    outcome = checked(tmp_path, tmp_path / "gone", files(tmp_path / "to", 2))
    assert (outcome.succeeded, outcome.found.outcome) == (False, None)


def test_check_that_cannot_read_a_file_has_no_answer(bench: Any) -> None:
    bench.script("""
        print("* a", flush=True)
        print("! b", flush=True)
        said = {"stats": {"checks": 2, "totalChecks": 2, "listed": 4, "errors": 2}}
        print(json.dumps(said), file=sys.stderr, flush=True)
        print(json.dumps({"level": "error", "object": "b", "msg": "input/output error"}),
              file=sys.stderr, flush=True)
        sys.exit(1)
    """)
    outcome, _ = bench.run(operation="check")
    assert (outcome.succeeded, outcome.found.outcome) == (False, None)
    assert outcome.reason.startswith("A disk reported")


def test_check_that_could_not_list_a_folder_has_no_answer(bench: Any) -> None:
    bench.script("""
        print("* a", flush=True)
        said = {"stats": {"checks": 1, "totalChecks": 1, "listed": 4, "errors": 2}}
        print(json.dumps(said), file=sys.stderr, flush=True)
        print(json.dumps({"level": "error", "object": "b", "msg": "permission denied"}),
              file=sys.stderr, flush=True)
        sys.exit(1)
    """)
    outcome, _ = bench.run(operation="check")
    assert (outcome.succeeded, outcome.found.outcome) == (False, None)


def reported(said: bytes) -> Report:
    reading_end, writing_end = os.pipe()
    report = Report(keep_names=True)
    report.read(os.fdopen(reading_end, "rb", buffering=0))
    with os.fdopen(writing_end, "wb") as stream:
        stream.write(said)
    report.wait()
    assert report.ended
    return report


def test_report_keeps_the_first_thousand_names_and_counts_all() -> None:
    numbers = [number * 7919 % 5000 for number in range(5000)]
    found = reported(b"".join(b"+ %05d\n" % number for number in numbers)).differences()
    assert found.counts["only_source"] == 5000
    assert found.names["only_source"] == [f"{number:05}" for number in range(MAX_NAMES)]


def test_report_takes_a_line_break_for_a_part_of_the_name() -> None:
    found = reported(b"* two\nlines\n= same\n- x").differences()
    assert found.counts == {"different": 1, "only_source": 0, "only_destination": 1}
    assert found.names["different"] == ["two\\nlines"]


def test_verification_that_finds_a_difference_names_the_file(tmp_path: Path) -> None:
    source, to = files(tmp_path / "from", 3), tmp_path / "to"
    run = attempt(tmp_path, source, to, options=Options(retries=0, verify=True))
    for one in run.readings():
        # Somebody else writes there as soon as the last file has arrived.
        if one is not None and one.phase is Phase.CHECKING and (to / "file 001").exists():
            (to / "file 001").write_bytes(b"y" * 999)
    run.close()
    outcome = run.outcome()
    assert not outcome.succeeded
    assert outcome.reason == (
        "Everything was copied, but 1 file at the destination differs from the source: “file 001”. "
        "Find out what writes there, then retry."
    )
    assert outcome.found.differences["different"] == {"count": 1, "names": ["file 001"]}
    assert outcome.found.outcome is None
    assert (outcome.progress.percent, outcome.progress.bytes_transferred) == (99.9, 3000)


def test_check_that_says_that_sides_differ_and_names_no_file_has_no_answer(bench: Any) -> None:
    bench.script("""
        print(json.dumps({"level": "error", "msg": "1 differences found"}), file=sys.stderr)
        sys.exit(1)
    """)
    outcome, _ = bench.run(operation="check")
    assert (outcome.succeeded, outcome.found.outcome, outcome.differences) == (False, None, None)
