"""Logs of jobs: how they are kept and bounded, what a reader finds, what a sweep removes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from portal.db.clock import now
from portal.db.session import session
from portal.models import Job, JobLog, JobLogChunk
from portal.services.jobs import log_format, log_reading, logs, speeds
from portal.services.jobs.log_format import CHUNK_LINES, LEVELS, LogEntry
from portal.services.jobs.log_reading import Extract, Gap, Wanted
from portal.services.jobs.speed_curve import Series
from tests.support.job_logs import LoggedLine, begun, kept, lines
from tests.support.transfers import fill, scripted_rclone, status_of


def log_of(job_id: int) -> JobLog:
    session.remove()
    log = log_reading.about(job_id)
    assert log is not None
    return log


def read(job_id: int, first: int = 1, most: int = 10**9, **wanted: str) -> Extract:
    return log_reading.read(log_of(job_id), first, Wanted(**wanted), most)


def numbers(extract: Extract) -> list[int]:
    return [row.number for row in extract.rows if isinstance(row, LogEntry)]


def gaps(extract: Extract) -> list[tuple[int, int]]:
    return [(row.number, row.lines) for row in extract.rows if isinstance(row, Gap)]


def stored_chunks(job_id: int) -> list[tuple[int, int]]:
    chunk = JobLogChunk
    query = select(chunk.first_line, chunk.lines).where(chunk.job_id == job_id)
    found = session.execute(query.order_by(chunk.first_line)).all()
    session.remove()
    return [(row[0], row[1]) for row in found]


@pytest.fixture
def job_id(new_job: Callable[..., int]) -> Iterator[int]:
    yield new_job()
    session.remove()


# --- lines and chunks ---------------------------------------------------------------------------


def test_line_comes_back_as_it_was_written(job_id: int) -> None:
    said = [
        LoggedLine(
            f"{level} ü/file", message="größer – 1.5 KiB", level=level, at=1_795_000_000.25 + n
        )
        for n, level in enumerate(LEVELS)
    ]
    kept(job_id, said)
    entries = read(job_id).rows
    assert [(e.number, e.level, e.object, e.message, e.milliseconds) for e in entries] == [
        (n + 1, one.level, one.object, one.message, int(one.at * 1000))
        for n, one in enumerate(said)
    ]
    assert entries[0].at.isoformat() == "2026-11-18T11:06:40.250000+00:00"


def test_clock_that_goes_back_is_no_fault(job_id: int) -> None:
    kept(
        job_id, [LoggedLine("a", at=1000.0), LoggedLine("b", at=999.0), LoggedLine("c", at=1001.5)]
    )
    assert [row.milliseconds for row in read(job_id).rows] == [1_000_000, 999_000, 1_001_500]


def test_writing_a_few_lines_at_a_time_fills_one_chunk_after_the_other(job_id: int) -> None:
    tail = begun(job_id)
    for first in range(1, 2 * CHUNK_LINES, 50):
        logs.append_lines(tail, lines(50, first))
        assert logs.save(tail)
    assert stored_chunks(job_id) == [(1, CHUNK_LINES), (CHUNK_LINES + 1, CHUNK_LINES)]
    assert numbers(read(job_id)) == list(range(1, 2 * CHUNK_LINES + 1))
    log = log_of(job_id)
    size = session.scalar(select(func.sum(func.length(JobLogChunk.data))))
    assert (log.lines, log.kept_lines, log.kept_bytes) == (2_000, 2_000, size)


def test_chunk_is_bounded_by_characters_too(job_id: int) -> None:
    kept(job_id, [LoggedLine("x" * 1_000, message="y" * 1_000) for _ in range(100)])
    chunks = stored_chunks(job_id)
    assert len(chunks) == 4
    assert max(number for _, number in chunks) <= log_format.CHUNK_CHARACTERS // 2_000 + 1


def test_nothing_new_is_not_written(job_id: int) -> None:
    tail = kept(job_id, lines(3))
    before = log_of(job_id).kept_bytes
    logs.append_lines(tail, [])
    assert tail.is_written
    assert logs.save(tail)
    assert log_of(job_id).kept_bytes == before


def test_lines_that_came_too_fast_are_a_gap(job_id: int) -> None:
    tail = kept(job_id, lines(5), left_out=20)
    logs.append_lines(tail, lines(2))
    logs.save(tail)
    extract = read(job_id)
    assert (numbers(extract), gaps(extract)) == ([1, 2, 3, 4, 5, 26, 27], [(6, 20)])
    assert [type(row).__name__ for row in extract.rows].index("Gap") == 5
    logs.append_lines(tail, [], left_out=3)
    logs.save(tail)
    assert gaps(read(job_id)) == [(6, 20), (28, 3)]


def test_what_the_database_refused_is_written_the_next_time(
    job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = begun(job_id)
    logs.append_lines(tail, lines(1_500))

    def refuse() -> Any:
        raise OSError("away")

    with monkeypatch.context() as patched:
        patched.setattr(logs, "write", refuse)
        with pytest.raises(OSError, match="away"):
            logs.save(tail)
    logs.append_lines(tail, lines(10, 1_501))
    assert logs.save(tail)
    assert numbers(read(job_id)) == list(range(1, 1_511))
    assert log_of(job_id).kept_lines == 1_510


# --- attempts -----------------------------------------------------------------------------------


def test_next_attempt_goes_on_with_the_numbers_and_the_old_one_writes_no_more(job_id: int) -> None:
    old = kept(job_id, lines(3))
    new = begun(job_id, attempt=2)
    logs.append_lines(old, lines(5, 4))
    assert not logs.save(old)
    logs.append_lines(new, lines(2, 4))
    assert logs.save(new)
    assert numbers(read(job_id)) == [1, 2, 3, 4, 5]
    assert logs.begin(job_id, 1) is None


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["lines", "bytes"])
def test_long_log_keeps_its_beginning_and_its_end(
    job_id: int, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    if bound == "lines":
        monkeypatch.setattr(logs, "MAX_LINES", 20_000)
    else:
        monkeypatch.setattr(logs, "MAX_BYTES", 400_000)
    tail = begun(job_id)
    for step in range(60):
        # Text that does not compress away.
        said = [LoggedLine(os.urandom(20).hex()) for _ in range(700)]
        logs.append_lines(tail, said)
        assert logs.save(tail)
        log = log_of(job_id)
        assert log.kept_lines <= logs.MAX_LINES, step
        assert log.kept_bytes <= logs.MAX_BYTES, step
    extract = read(job_id)
    found = numbers(extract)
    ((gap, missing),) = gaps(extract)
    assert len(found) + missing == log.lines == 42_000
    assert (found[0], found[-1], len(found)) == (1, 42_000, log.kept_lines)
    share = (gap - 1) / log.kept_lines
    assert 0.4 < share < 0.65, "half of it is the beginning"
    size = session.scalar(select(func.sum(func.length(JobLogChunk.data))))
    assert size == log.kept_bytes


# --- reading ------------------------------------------------------------------------------------


@pytest.fixture
def long_log(job_id: int) -> int:
    said = lines(20_000)
    said[4_999] = LoggedLine("folder/broken", message="Permission denied", level="error")
    said[17_999] = LoggedLine("folder/broken too", message="permission DENIED", level="error")
    said[9_999] = LoggedLine("", message="slow down", level="warning")
    kept(job_id, said)
    return job_id


def test_page_begins_anywhere_and_says_whether_there_is_more(long_log: int) -> None:
    page = read(long_log, first=12_345, most=100)
    assert numbers(page) == list(range(12_345, 12_445))
    assert (page.through, page.more) == (12_444, True)
    page = read(long_log, first=19_950, most=100)
    assert (len(page.rows), page.through, page.more) == (51, 20_000, False)
    assert read(long_log, first=20_001, most=100).rows == []


def test_levels_are_found_without_opening_the_chunks_of_others(
    long_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    unpacked = log_format.unpack
    monkeypatch.setattr(
        log_format, "unpack", lambda data: opened.append(len(data)) or unpacked(data)
    )
    assert numbers(read(long_log, level="error")) == [5_000, 18_000]
    assert len(opened) == 2
    assert numbers(read(long_log, level="warning")) == [5_000, 10_000, 18_000]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("denied", [5_000, 18_000]),
        ("folder/broken: p", [5_000]),
        ("file 1999", [1999, *range(19_990, 20_000)]),
        ("slow down", [10_000]),
        (": slow", []),
        ("i179", []),
        ("no such words", []),
        ("%", []),
    ],
)
def test_search_finds_text_in_object_and_message(
    long_log: int, text: str, found: list[int]
) -> None:
    extract = read(long_log, text=text)
    assert numbers(extract) == found
    assert (extract.more, gaps(extract)) == (False, [])


def test_search_looks_at_so_much_a_call_and_goes_on_where_it_ended(
    long_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reading, "SEARCHED_CHUNKS", 6)
    found, first, calls, more = [], 1, 0, True
    while more:
        extract = read(long_log, first=first, text="denied")
        found += numbers(extract)
        assert extract.through >= first
        first, more, calls = extract.through + 1, extract.more, calls + 1
    assert found == [5_000, 18_000]
    assert calls == 4


def test_search_that_finds_enough_goes_on_right_after_it(long_log: int) -> None:
    page = read(long_log, text="file", most=30)
    assert (len(page.rows), page.through, page.more) == (30, 30, True)
    assert numbers(read(long_log, first=31, text="file", most=2)) == [31, 32]


def test_newest_lines_are_those_after_the_last_one_seen(long_log: int) -> None:
    log = log_of(long_log)
    everything = Wanted()
    assert numbers(log_reading.newest(log, 19_990, everything, 200)) == list(range(19_991, 20_001))
    assert numbers(log_reading.newest(log, 20_000, everything, 200)) == []
    assert numbers(log_reading.newest(log, 0, everything, 3)) == [19_998, 19_999, 20_000]
    errors = log_reading.newest(log, 17_000, Wanted("error"), 200)
    assert (numbers(errors), errors.through) == ([18_000], 20_000)


def test_whole_log_comes_in_chunks_with_its_gaps(job_id: int) -> None:
    tail = kept(job_id, lines(1_500), left_out=7)
    logs.append_lines(tail, lines(3))
    logs.save(tail)
    rows = [row for chunk in log_reading.whole(job_id) for row in chunk]
    assert [row.number for row in rows] == [*range(1, 1_501), 1_501, 1_508, 1_509, 1_510]
    assert isinstance(rows[1_500], Gap)


def test_log_that_grows_while_it_is_given_is_given_once(job_id: int) -> None:
    tail = kept(job_id, lines(10))
    found = []
    for chunk in log_reading.whole(job_id):
        found += [row.number for row in chunk]
        if len(found) < 30:
            logs.append_lines(tail, lines(10))
            logs.save(tail)
    assert found == list(range(1, len(found) + 1))


# --- a million lines ----------------------------------------------------------------------------


@pytest.mark.slow
def test_page_of_a_long_log_opens_two_chunks_however_long_it_is(
    job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(job_id, lines(100_000))
    opened: list[int] = []
    unpacked = log_format.unpack
    monkeypatch.setattr(
        log_format, "unpack", lambda data: opened.append(len(data)) or unpacked(data)
    )
    for first in (1, 49_900, 99_700):
        opened.clear()
        assert len(read(job_id, first=first, most=300).rows) == 300
        assert len(opened) <= 2


# --- retention ----------------------------------------------------------------------------------


def test_sweep_removes_logs_and_speeds_of_jobs_that_ended_long_ago(new_job: Any) -> None:
    ids = [new_job() for _ in range(4)]
    for job_id in ids:
        kept(job_id, lines(3_000))
        speeds.save(job_id, 1, now(), Series(points=[1]))
    for job_id, days in zip(ids, (40, 31, 29, None), strict=True):
        ended = None if days is None else now() - timedelta(days=days)
        session.get_one(Job, job_id).finished_at = ended
    session.commit()
    assert logs.remove_old(30) == 2
    assert logs.remove_old(30) == 0
    session.remove()
    assert [bool(stored_chunks(job_id)) for job_id in ids] == [False, False, True, True]
    assert [speeds.of(session.get_one(Job, job_id)) is None for job_id in ids] == [
        True,
        True,
        False,
        False,
    ]
    gone = log_of(ids[0])
    assert gone.removed_at is not None
    assert (gone.lines, gone.kept_lines, gone.kept_bytes) == (3_000, 0, 0)


# --- from a worker ------------------------------------------------------------------------------


def test_real_transfer_leaves_its_log(new_job: Any, execute: Any, root: Path) -> None:
    fill(root / "from", files=5)
    job_id = new_job(source=root / "from")
    execute(job_id)
    rows = read(job_id).rows
    assert rows[0].message == "Attempt 1 started on test:1."
    assert rows[-1].message == "Attempt finished."
    copied = sorted(row.object for row in rows if row.message == "Copied (new)")
    assert copied == [f"file {n}" for n in range(5)]


def test_failure_says_in_the_log_what_the_page_says(new_job: Any, execute: Any, root: Path) -> None:
    job_id = new_job(source=root / "gone")
    execute(job_id)
    assert status_of(job_id) == "failed"
    errors = [row for row in read(job_id, level="error").rows if isinstance(row, LogEntry)]
    assert errors[-1].message.startswith("The attempt failed. The source folder does not exist")
    assert log_of(job_id).errors == len(errors) >= 2


def test_refused_path_is_in_the_log_too(new_job: Any, execute: Any, tmp_path: Path) -> None:
    job_id = new_job(source=tmp_path / "elsewhere")
    execute(job_id)
    assert "may no longer be used" in read(job_id).rows[-1].message


def test_credentials_reach_no_row(new_job: Any, execute: Any, tmp_path: Path) -> None:
    rclone = scripted_rclone(
        tmp_path,
        """
        for text in ("password=hunter2canary", "https://bob:hunter2canary@example.org/x"):
            print(json.dumps({"level": "error", "msg": text, "object": text}), file=sys.stderr)
        print("RCLONE_CONFIG_X_PASS=hunter2canary", file=sys.stderr, flush=True)
        sys.exit(1)
        """,
    )
    job_id = new_job()
    execute(job_id, rclone=rclone)
    words = " ".join(row.words for row in read(job_id).rows)
    assert "password=***" in words
    assert "hunter2canary" not in words
    session.remove()
    job = session.get_one(Job, job_id)
    assert "hunter2canary" not in f"{job.error} {job.error_lines}"


def test_flood_of_lines_is_kept_up_to_a_bound_and_the_rest_counted(
    new_job: Any, execute: Any, tmp_path: Path
) -> None:
    rclone = scripted_rclone(
        tmp_path,
        """
        for n in range(100_000):
            sys.stderr.write('{"level":"info","msg":"Copied (new)","object":"file %d"}\\n' % n)
        """,
    )
    job_id = new_job()
    began = time.monotonic()
    execute(job_id, rclone=rclone)
    log = log_of(job_id)
    assert status_of(job_id) == "completed"
    assert log.lines == 100_002, f"after {time.monotonic() - began:.0f} s"
    extract = read(job_id)
    missing = sum(number for _, number in gaps(extract))
    assert missing + log.kept_lines == 100_002
    assert log.kept_lines >= 20_000
