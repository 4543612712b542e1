"""Reads the log of a job: a page, a search, the new lines at its end, all of it as a file.

Chunks are found by their line numbers, and one call of a search opens a limited number of them. So
nothing here costs more in a long log than in a short one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select

from portal.db.session import session
from portal.models import JobLog, JobLogChunk
from portal.services.jobs import log_format
from portal.services.jobs.log_format import LEVELS, LogEntry

#: Chunks that one call of a search opens; each has at most 64,000 characters.
SEARCHED_CHUNKS = 150
TEXT_LENGTH = 200
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines to show: those of this level or a more serious one that contain this text."""

    level: str = LEVELS[0]
    text: str = ""

    @property
    def is_everything(self) -> bool:
        return self.level == LEVELS[0] and not self.text

    def finds(self, entry: LogEntry) -> bool:
        if LEVELS.index(entry.level) < LEVELS.index(self.level):
            return False
        return not self.text or self.text.lower() in entry.words.lower()


class _Stored(NamedTuple):
    first_line: int
    lines: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that are missing: the number of the first, and how many."""

    number: int
    lines: int


@dataclass(slots=True)
class Extract:
    """``rows`` are in order; all lines up to ``through`` were read; ``more``: the log goes on after
    that."""

    rows: list[LogEntry | Gap] = field(default_factory=list)
    through: int = 0
    more: bool = False
    found: int = 0


def about(job_id: int) -> JobLog | None:
    return session.get(JobLog, job_id)


def read(log: JobLog, first: int, wanted: Wanted, most: int) -> Extract:
    """Returns at most ``most`` wanted lines from number ``first`` on."""
    taken = Extract(through=max(0, first - 1))
    levels = log_format.at_least(wanted.level)
    for opened, chunk in enumerate(_chunks(log.job_id, first, levels)):
        if opened >= SEARCHED_CHUNKS:
            taken.through, taken.more = max(taken.through, chunk.first_line - 1), True
            return taken
        if wanted.is_everything and chunk.first_line > taken.through + 1:
            _skip(taken, chunk.first_line)
        if not _take(taken, chunk, wanted, most):
            taken.more = taken.through < log.lines
            return taken
        time.sleep(0)  # a long search lets other threads of this process run
    if wanted.is_everything and taken.through < log.lines:
        _skip(taken, log.lines + 1)
    taken.through = max(taken.through, log.lines)
    return taken


def newest(log: JobLog, after: int, wanted: Wanted, most: int) -> Extract:
    """Returns the lines after line ``after``. If there are too many, a reader of all lines gets the
    last ones; a search gets the first ones, and the rest at the next call."""
    if wanted.is_everything and log.lines - after > most:
        return read(log, log.lines - most + 1, wanted, most)
    return read(log, after + 1, wanted, most)


def whole(job_id: int) -> Iterator[list[LogEntry | Gap]]:
    """Yields the whole log, a chunk at a time. No transaction is open in between."""
    first = 1
    try:
        while chunk := next(_chunks(job_id, first, log_format.at_least(LEVELS[0]), 1), None):
            session.rollback()
            rows: list[LogEntry | Gap] = []
            if chunk.first_line > first:
                rows.append(Gap(first, chunk.first_line - first))
            text = log_format.unpack(chunk.data)
            # The last chunk may have grown since it was yielded.
            rows += (
                one for one in log_format.entries(text, chunk.first_line) if one.number >= first
            )
            yield rows
            first = chunk.first_line + chunk.lines
    finally:
        session.remove()  # the request that began this is over


def _skip(taken: Extract, to: int) -> None:
    taken.rows.append(Gap(taken.through + 1, to - taken.through - 1))
    taken.through = to - 1


def _take(taken: Extract, chunk: _Stored, wanted: Wanted, most: int) -> bool:
    """Returns whether the chunk was read to its end."""
    text = log_format.unpack(chunk.data)
    # A search of the whole text first: for most chunks it saves splitting them into lines.
    if wanted.text and wanted.text.lower() not in log_format.as_words(text).lower():
        taken.through = chunk.first_line + chunk.lines - 1
        return True
    for entry in log_format.entries(text, chunk.first_line):
        if entry.number <= taken.through:
            continue
        if wanted.finds(entry):
            if taken.found >= most:
                return False
            taken.rows.append(entry)
            taken.found += 1
        taken.through = entry.number
    return True


def _chunks(job_id: int, first: int, levels: int, at_once: int = _AT_ONCE) -> Iterator[_Stored]:
    """Yields the chunks with one of these levels, from the one that holds line ``first`` on."""
    mine, number = JobLogChunk.job_id == job_id, JobLogChunk.first_line
    holding = select(number).where(mine, number <= first).order_by(number.desc()).limit(1)
    begin = session.scalar(holding) or 1
    some = select(number, JobLogChunk.lines, JobLogChunk.data).where(mine)
    if levels != log_format.at_least(LEVELS[0]):
        some = some.where(JobLogChunk.levels.bitwise_and(levels) != 0)
    while True:
        query = some.where(number >= begin).order_by(number).limit(at_once)
        found = [_Stored(*row) for row in session.execute(query)]
        yield from (chunk for chunk in found if chunk.first_line + chunk.lines > first)
        if len(found) < at_once:
            return
        begin = found[-1].first_line + 1
