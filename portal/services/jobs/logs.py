"""The logs of jobs: a worker appends, people read at any place, a sweep removes old ones.

A log is divided into chunks of at most ``CHUNK_LINES`` lines. Only the last chunk is ever
rewritten. When a log gets too long, its first half and its newest lines stay, and chunks between
them are removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import insert_into, write
from portal.models import Job, JobLog, JobLogChunk, JobSpeed
from portal.runtime.thread_offload import offload
from portal.services.jobs import log_format
from portal.services.jobs.log_format import CHUNK_CHARACTERS, CHUNK_LINES

#: Limits of one job's log, in bytes as stored (compressed to about a tenth).
MAX_BYTES = 20 * 1024 * 1024
MAX_LINES = 1_000_000
#: A log that is too long is cut to this share of both limits, so that it is not cut again every
#: second.
_ROOM = 0.95
_AT_ONCE = 50


class LoggedLine(Protocol):
    """A line of a log; ``engine.LogLine`` has this shape."""

    @property
    def at(self) -> float: ...
    @property
    def level(self) -> str: ...
    @property
    def object(self) -> str: ...
    @property
    def message(self) -> str: ...


@dataclass(slots=True)
class _Chunk:
    """Lines on their way to the database."""

    first_line: int
    begun: int = 0
    texts: list[str] = field(default_factory=list)
    characters: int = 0
    levels: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.texts) >= CHUNK_LINES or self.characters >= CHUNK_CHARACTERS

    def add(self, line: LoggedLine) -> None:
        moment = int(line.at * 1000)
        if not self.texts:
            self.begun = moment
        offset = moment - self.begun if self.texts else moment
        text = log_format.format_line(line.level, offset, line.object, line.message)
        self.texts.append(text)
        self.characters += len(text) + 1
        self.levels |= log_format.bit(line.level)


@dataclass(slots=True)
class Tail:
    """The end of a log that one worker writes, and the lines that are not written yet."""

    job_id: int
    attempt: int
    lines: int
    kept_lines: int
    kept_bytes: int
    head_end: int | None
    errors: int
    full: list[_Chunk] = field(default_factory=list)
    open: _Chunk | None = None
    #: The size of the open chunk when it was last written.
    open_bytes: int = 0
    open_lines: int = 0
    is_written: bool = True


# --- writing ------------------------------------------------------------------------------------


def begin(job_id: int, attempt: int) -> Tail | None:
    """Returns where this attempt continues the log; None if a later attempt has already begun."""
    with write() as tx:
        new = {"attempt": attempt, "lines": 0, "kept_lines": 0, "kept_bytes": 0, "errors": 0}
        first = insert_into(tx, JobLog).values(job_id=job_id, **new)
        tx.execute(first.on_conflict_do_nothing())
        log = tx.get_one(JobLog, job_id, populate_existing=True, with_for_update=True)
        if log.attempt > attempt:
            return None
        log.attempt, log.removed_at = attempt, None
        tx.commit()
    return Tail(
        job_id, attempt, log.lines, log.kept_lines, log.kept_bytes, log.head_end, log.errors
    )


def append_lines(tail: Tail, lines: Sequence[LoggedLine], left_out: int = 0) -> None:
    """Numbers the lines; the ``left_out`` lines after them are only counted. Writes nothing yet."""
    for line in lines:
        tail.lines += 1
        tail.errors += line.level == "error"
        if tail.open is None:
            tail.open = _Chunk(tail.lines)
        tail.open.add(line)
        if tail.open.is_full:
            _close(tail)
    if left_out:
        # A chunk holds consecutive lines, so the next chunk begins after the gap.
        _close(tail)
        tail.lines += left_out
    if lines or left_out:
        tail.is_written = False


def _close(tail: Tail) -> None:
    if tail.open is not None:
        tail.full.append(tail.open)
        tail.open = None


def save(tail: Tail) -> bool:
    """Writes the lines that were taken in. Returns False if a later attempt writes this log now. If
    the database raises an error, nothing is lost: the next call writes the same lines."""
    if tail.is_written:
        return True
    chunks = [*tail.full, *([tail.open] if tail.open else [])]
    rows = [_row(tail.job_id, chunk) for chunk in chunks]
    kept_lines, kept_bytes = tail.kept_lines - tail.open_lines, tail.kept_bytes - tail.open_bytes
    head_end = tail.head_end
    for row in rows:
        kept_lines += row["lines"]
        kept_bytes += len(row["data"])
        if head_end is None and (kept_lines > MAX_LINES / 2 or kept_bytes > MAX_BYTES / 2):
            head_end = row["first_line"] - 1
    with write() as tx:
        if kept_lines > MAX_LINES or kept_bytes > MAX_BYTES:
            stored = (JobLogChunk.first_line > (head_end or 0)) & (
                JobLogChunk.first_line < (rows[0]["first_line"] if rows else tail.lines)
            )
            kept_lines, kept_bytes = _cut(
                tx, (JobLogChunk.job_id == tail.job_id) & stored, kept_lines, kept_bytes
            )
        figures = {
            "lines": tail.lines,
            "kept_lines": kept_lines,
            "kept_bytes": kept_bytes,
            "head_end": head_end,
            "errors": tail.errors,
        }
        mine = (JobLog.job_id == tail.job_id) & (JobLog.attempt == tail.attempt)
        unsynchronized = {"synchronize_session": False}
        held = tx.execute(
            update(JobLog).where(mine).values(**figures).returning(JobLog.job_id),
            execution_options=unsynchronized,
        ).first()
        if held is None:
            return False
        if rows:
            tx.execute(_upsert(tx), rows)
        tx.commit()
    tail.kept_lines, tail.kept_bytes, tail.head_end = kept_lines, kept_bytes, head_end
    tail.open_lines, tail.open_bytes = (
        (rows[-1]["lines"], len(rows[-1]["data"])) if tail.open else (0, 0)
    )
    tail.full, tail.is_written = [], True
    return True


def _row(job_id: int, chunk: _Chunk) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "first_line": chunk.first_line,
        "lines": len(chunk.texts),
        "levels": chunk.levels,
        "data": offload(log_format.pack, chunk.texts),
    }


def _upsert(session: Session) -> Any:
    statement = insert_into(session, JobLogChunk)
    return statement.on_conflict_do_update(
        index_elements=[JobLogChunk.job_id, JobLogChunk.first_line],
        set_={name: statement.excluded[name] for name in ("lines", "levels", "data")},
    )


def _cut(
    tx: Session, middle: ColumnElement[bool], kept_lines: int, kept_bytes: int
) -> tuple[int, int]:
    """Removes the oldest chunks of the middle. Returns the lines and bytes that stay."""
    chunk, last = JobLogChunk, 0
    size = func.length(chunk.data)
    while kept_lines > MAX_LINES * _ROOM or kept_bytes > MAX_BYTES * _ROOM:
        rest = select(chunk.first_line, chunk.lines, size).where(middle, chunk.first_line > last)
        oldest = tx.execute(rest.order_by(chunk.first_line).limit(1)).one_or_none()
        if oldest is None:
            break
        last = oldest[0]
        kept_lines -= oldest[1]
        kept_bytes -= oldest[2]
    if last:
        cut = delete(chunk).where(middle, chunk.first_line <= last)
        tx.execute(cut, execution_options={"synchronize_session": False})
    return kept_lines, kept_bytes


# --- retention ----------------------------------------------------------------------------------


def remove_old(days: int) -> int:
    """Removes the logs and speeds of jobs that ended more than so many days ago. Returns how many
    jobs."""
    before, removed = now() - timedelta(days=days), 0
    while ids := _old(before):
        for job_id in ids:
            _remove(job_id)
            removed += 1
    return removed


def _old(before: datetime) -> list[int]:
    with write() as tx:
        ended = select(JobLog.job_id).join(Job, Job.id == JobLog.job_id)
        old = ended.where(Job.finished_at < before, JobLog.removed_at.is_(None)).limit(_AT_ONCE)
        return list(tx.scalars(old))


def _remove(job_id: int) -> None:
    """Deletes a few chunks per transaction, so that nobody waits while a long log is removed."""
    quiet = {"synchronize_session": False}
    chunk = JobLogChunk.first_line
    while True:
        with write() as tx:
            first = (
                select(chunk).where(JobLogChunk.job_id == job_id).order_by(chunk).limit(_AT_ONCE)
            )
            numbers = list(tx.scalars(first))
            mine = JobLogChunk.job_id == job_id
            if numbers:
                old = delete(JobLogChunk).where(mine, chunk <= numbers[-1])
                tx.execute(old, execution_options=quiet)
            else:
                tx.execute(
                    delete(JobSpeed).where(JobSpeed.job_id == job_id), execution_options=quiet
                )
                gone = {"removed_at": now(), "kept_lines": 0, "kept_bytes": 0}
                tx.execute(
                    update(JobLog).where(JobLog.job_id == job_id).values(**gone),
                    execution_options=quiet,
                )
            tx.commit()
        if not numbers:
            return
