"""Drains rclone's stderr in a thread, in bounded memory whatever comes."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import IO, Any

from portal.engine.output.alarms import Alarm, alarm_in
from portal.engine.output.left_out import LeftOut, says_by_size
from portal.engine.output.log import Backlog, LogLine
from portal.engine.output.plan import PlanBuilder
from portal.engine.output.progress import Progress, ProgressParser
from portal.engine.output.redaction import SecretRedactor
from portal.engine.output.statistics import (
    Done,
    Error,
    FileAction,
    LogRecord,
    RcloneStatistics,
    decode,
    equal_in,
    parse,
    read,
    skip_words,
    skipped_in,
    words,
)
from portal.engine.process.pipes import LONGEST_DRAIN, SILENCE, PipeReader

#: 32 files in work, each with the longest name and every character escaped, need less.
LONGEST_LINE = 1024 * 1024
_KEPT_ERRORS = 20
#: What rclone says when its limit was set by remote control.
_LIMIT_SET = ("Bandwidth limit set to ", "Bandwidth limit reset to ")
_COPIED = (FileAction.COPIED, FileAction.REPLACED)


@dataclass(frozen=True, slots=True)
class ProvenFile:
    """A file that is at the destination: its name as rclone writes it, and as a log shows it."""

    action: FileAction
    name: str
    shown: str
    size: int = 0


class StderrReader:
    """Keeps the newest figures and the last errors (older ones are replaced, not queued) and the
    lines of the log until they are taken. Files that a dry run skipped go to ``plan_builder``, if
    there is one; entries that are no files go to ``left_out``."""

    def __init__(
        self,
        stream: IO[bytes],
        parser: ProgressParser,
        redactor: SecretRedactor | None = None,
        plan_builder: PlanBuilder | None = None,
        left_out: LeftOut | None = None,
        *,
        debug: bool = False,
        keeps_proven: bool = False,
    ) -> None:
        """``debug``: rclone was asked to say more than anybody wants to read. ``keeps_proven``:
        whether somebody takes what is ``proven``."""
        #: The number of rclone's lines that could not be read: too long, or cut off in the middle.
        self.broken_lines = 0
        #: The last figures.
        self.statistics: RcloneStatistics | None = None
        self.errors: deque[Error] = deque(maxlen=_KEPT_ERRORS)
        self.alarms: set[Alarm] = set()
        #: Files that were taken for equal by their size alone, as far as rclone was asked.
        self.by_size = 0
        #: Files that rclone has copied, or found at the destination.
        self.proven: deque[ProvenFile] = deque()
        self.log = Backlog()
        self._keeps_proven = keeps_proven
        self._new_lines: list[LogLine] = []
        self._pipe = PipeReader(stream, self._take_chunk, self._finish, name="rclone-stderr")
        self._cutter = _Lines()
        self._parser = parser
        self._redactor = redactor or SecretRedactor()
        self._plan_builder = plan_builder
        self._left_out = left_out
        self._debug = debug
        self._newest: Progress | None = None
        self._lock = threading.Lock()
        self._news = threading.Event()

    def start(self) -> None:
        self._pipe.start()

    @property
    def ended(self) -> bool:
        """Whether stderr is at its end."""
        return self._pipe.ended

    @property
    def length(self) -> int:
        """Bytes that were read."""
        return self._pipe.length

    def silent_since(self) -> float:
        """As of ``PipeReader``."""
        return self._pipe.silent_since()

    def take(self, seconds: float) -> Progress | None:
        """The newest reading not taken yet; None after so many seconds, at the end, or when the log
        should be taken first."""
        self._news.wait(seconds)
        with self._lock:
            self._news.clear()
            reading, self._newest = self._newest, None
        return reading

    def note_removed(self, file: ProvenFile) -> None:
        """A proven file was removed from the source. The words are rclone's own."""
        if file.action is FileAction.EQUAL:
            self.note_equal(file)
        else:
            self._parser.note(Done(FileAction.DELETED, file.name, 0))
        self.log.add([LogLine(time.time(), "info", file.shown, "Deleted")])

    def note_equal(self, file: ProvenFile) -> None:
        """A file was found at the destination, and may count from now on."""
        self._parser.note(Done(FileAction.EQUAL, file.name, 0))

    def note_gone(self, file: ProvenFile, message: str) -> None:
        """A proven file has left the source without us."""
        self._parser.note(Done(FileAction.GONE, file.name, 0))
        self.note_error(file.shown, message, file.name)

    def note_error(self, shown: str, message: str, name: str = "") -> None:
        """An error about a file that rclone did not meet."""
        self.errors.append(Error(f"{shown}: {message}", name, message))
        self.log.add([LogLine(time.time(), "error", shown, message)])

    def wait(self, silence: float = SILENCE, longest: float = LONGEST_DRAIN) -> None:
        """As of ``PipeReader``."""
        self._pipe.wait(silence, longest)

    def _take_chunk(self, chunk: bytes) -> None:
        dropped = self._cutter.dropped
        for raw in self._cutter.feed(chunk):
            self._take_in(raw)
        for _ in range(self._cutter.dropped - dropped):
            self.broken_lines += 1
            self._say("error", "", "A line of rclone's log is too long to be read.")
        self._add_to_log()

    def _finish(self) -> None:
        if rest := self._cutter.rest():
            self._take_in(rest)
            self._add_to_log()
        self._news.set()

    def _add_to_log(self) -> None:
        new_lines, self._new_lines = self._new_lines, []
        self.log.add(new_lines)
        if self.log.is_filling:
            self._news.set()

    def _take_in(self, raw: bytes) -> None:
        entry = decode(raw)
        if entry is not None and self._debug and entry.get("level") == "debug":
            self._count(entry)
            return
        if entry is not None and (planned := self._note_skipped(entry)) is not None:
            self._say(*planned)
            return
        line = parse(raw, self._redactor) if entry is None else read(entry, self._redactor)
        self.broken_lines += line.broken
        self._look_into(line)

    def _note_skipped(self, entry: dict[str, Any]) -> tuple[str, str, str] | None:
        """Adds what was skipped to the plan. Returns the words of a line that says no more."""
        if self._plan_builder is None or (skipped := skipped_in(entry)) is None:
            return None
        self._plan_builder.add(skipped)
        return skip_words(entry, self._redactor)

    def _say(self, level: str, subject: str, message: str) -> None:
        self._new_lines.append(LogLine(time.time(), level, subject, message))

    def _count(self, entry: dict[str, Any]) -> None:
        """Counts what a line says that was asked for to count, and is not kept."""
        equal = equal_in(entry) if self._keeps_proven else None
        if equal is None and not says_by_size(entry):
            return
        _, shown, _ = words(entry, self._redactor)
        if equal is not None:
            self.proven.append(ProvenFile(FileAction.EQUAL, equal, shown))
            return
        self.by_size += 1
        if self._left_out is not None:
            self._left_out.note_by_size(shown)

    def _look_into(self, line: LogRecord) -> None:
        if line.level and self._left_out is not None:
            self._left_out.note(line.object, line.message)
        if line.done is not None:
            self._parser.note(line.done)
        # The portal says itself when a person or the clock has changed the limit; a share of a
        # budget changes with each job that comes or goes.
        if line.level and not line.message.startswith(_LIMIT_SET):
            self._say(line.level, line.object, line.message)
        if self._keeps_proven and line.done is not None and line.done.action in _COPIED:
            self.proven.append(
                ProvenFile(line.done.action, line.done.name, line.object, line.done.size)
            )
        if line.message and (alarm := alarm_in(line.message)) is not None:
            self.alarms.add(alarm)
            text = f"{line.object}: {line.message}" if line.object else line.message
            self.errors.append(line.error or Error(text, line.object, line.message))
        elif line.error is not None:
            self.errors.append(line.error)
        if line.statistics is not None:
            self.statistics = line.statistics
            reading = self._parser.read(line.statistics)
            with self._lock:
                self._newest = reading
                self._news.set()


class _Lines:
    """Cuts chunks into lines; one that is longer than LONGEST_LINE is dropped and counted."""

    def __init__(self) -> None:
        self.dropped = 0
        self._begun = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        first, *others = chunk.split(b"\n")
        if self._skipping:
            if not others:
                return []
            self._skipping = False
            lines = others
        else:
            lines = [self._begun + first, *others]
        self._begun = lines.pop()
        if len(self._begun) > LONGEST_LINE:
            self._begun, self._skipping = b"", True
            self.dropped += 1
        kept = [line for line in lines if len(line) <= LONGEST_LINE]
        self.dropped += len(lines) - len(kept)
        return kept

    def rest(self) -> bytes:
        return self._begun
