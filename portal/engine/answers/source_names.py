"""The names in a source, as a transfer with its filters would take them, read while they come."""

from __future__ import annotations

import os
import threading
import time
import unicodedata
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import islice, pairwise
from pathlib import Path

from portal.engine.answers.inquiry import Inquiry
from portal.engine.answers.questions import NoAnswer
from portal.engine.errors import EngineError
from portal.engine.failures.exit_codes import reason_for
from portal.engine.markers import RULE, is_marker
from portal.engine.order import confinement, flags
from portal.engine.order.command import environment
from portal.engine.order.remotes import beginning
from portal.engine.order.runtime_dir import RuntimeDir
from portal.engine.output.progress import ProgressParser
from portal.engine.output.redaction import SecretRedactor
from portal.engine.output.stderr import StderrReader
from portal.engine.process.binary import setpriv_path
from portal.engine.process.group import ProcessGroup
from portal.transfers.options import Options

MISSING = 3
MISSING_SOURCE = "The source folder does not exist. Check its path, then retry."
_CHUNK = 65536
_POLL = 0.005
_SHOWN = 3
_PARTS = 64


class MissingSource(NoAnswer):
    """There is no such folder."""


class SourceNames:
    """Always close it, from any thread: a reader that still waits gets NoAnswer."""

    def __init__(self, inquiry: Inquiry, place: str | None = None) -> None:
        """``place``: another one than the source."""
        self._inquiry, self._order = inquiry, inquiry.order
        self._place = place or self._order.source
        self._group: ProcessGroup | None = None
        self._lock = threading.Lock()
        self._closed = False

    def read(self, *, filtered: bool = True) -> Iterator[str]:
        """Each file, by its path in the source. Raises NoAnswer if they cannot be listed."""
        runtime_dir = RuntimeDir()
        try:
            options = self._order.options if filtered else Options()
            rules = runtime_dir.filters(options, first=(RULE,))
            group = self._start(
                [
                    *beginning(setpriv_path(), self._inquiry.rclone, self._order.remotes),
                    "lsf", "--config", "", "-R", "--files-only",
                    "--use-json-log", "--log-level", "ERROR",
                    *flags.of_filters(options, rules, self._inquiry.moment),
                    "--", self._place,
                ],
                runtime_dir.folder,
            )  # fmt: skip
            yield from self._lines(group)
        finally:
            self._end()
            runtime_dir.remove()

    def first(self, number: int) -> list[str]:
        """A few names, of all that lie there."""
        names = self.read(filtered=False)
        try:
            return list(islice(names, number))
        finally:
            names.close()  # type: ignore[attr-defined]

    def any(self, *, filtered: bool = True) -> bool:
        """Whether there is one at all; it is not listed further than to the first."""
        names = self.read(filtered=filtered)
        try:
            return next(names, None) is not None
        finally:
            names.close()  # type: ignore[attr-defined]

    def close(self) -> None:
        self._closed = True
        group = self._group
        if group is not None:
            group.stop(0)
            group.kill_if_overdue()

    def _start(self, command: list[str], runtime_dir: Path) -> ProcessGroup:
        with self._lock:
            if self._closed:
                raise NoAnswer("it was stopped")
            try:
                group = ProcessGroup(
                    command,
                    environment(self._order, self._inquiry.data_dir),
                    output=True,
                    rules=confinement.of_looking(
                        self._inquiry.rclone, setpriv_path(), self._order, runtime_dir
                    ),
                )
            except OSError as error:
                raise EngineError(f"rclone cannot be started: {error.strerror}.") from error
            self._group = group
        if self._inquiry.begun is not None:
            self._inquiry.begun(group.pid)
        return group

    def _lines(self, group: ProcessGroup) -> Iterator[str]:
        secrets = {secret for remote in self._order.remotes for secret in remote.secrets}
        reader = StderrReader(group.stderr, ProgressParser("copy", False), SecretRedactor(secrets))
        reader.start()
        begun = b""
        with group.stdout as stream:
            while chunk := os.read(stream.fileno(), _CHUNK):
                *lines, begun = (begun + chunk).split(b"\n")
                for line in lines:
                    yield os.fsdecode(line)
                time.sleep(0)  # the others of this process have their turn
        while not group.reap():
            time.sleep(_POLL)
        reader.wait()
        if self._closed:
            raise NoAnswer("it was stopped")
        if group.exit_code == MISSING:
            raise MissingSource(MISSING_SOURCE)
        if group.exit_code:
            raise NoAnswer(
                "; ".join(error.text for error in list(reader.errors)[-1:])
                or reason_for(group.exit_code, False, ())
            )

    def _end(self) -> None:
        group = self._group
        if group is not None:
            group.stop(0)
            while not group.reap():
                group.kill_if_overdue()
                time.sleep(_POLL)
            with suppress(OSError):
                group.stdout.close()


def has_file(folder: str) -> bool | None:
    """Whether a local folder holds a file at any depth; None if there is no such folder."""
    if not Path(folder).is_dir():
        return None
    return next(_files_below(folder), None) is not None


def first_files(folder: str, number: int) -> list[str]:
    """Returns a few names of files in a local folder."""
    found = (os.path.relpath(path, folder) for path in _files_below(folder) if not is_marker(path))
    return list(islice(found, number))


def _files_below(folder: str) -> Iterator[str]:
    """Yields all but folders, at any depth: ``os.walk`` of Python 3.11 fails at a thousand."""
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_dir():
                    yield entry.path


def meeting(read: Callable[[], Iterator[str]]) -> list[tuple[str, str]]:
    """The first pairs of names that differ by case or by the form of their accents alone, in memory
    that is eight bytes a file. ``read`` gives the names, twice if there are such."""
    # Sorted by parts: a list of numbers takes five times as much room as an array.
    parts = [array("Q") for _ in range(_PARTS)]
    for name in read():
        digest = _digest(name)
        parts[digest % _PARTS].append(digest)
    doubled = {one for part in parts for one, two in pairwise(sorted(part)) if one == two}
    if not doubled:
        return []
    first: dict[int, str] = {}
    pairs = []
    for name in read():
        digest = _digest(name)
        if digest in doubled:
            other = first.setdefault(digest, name)
            if other != name and folded(other) == folded(name):
                pairs.append((other, name))
                if len(pairs) == _SHOWN:
                    break
    return pairs


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _digest(name: str) -> int:
    content = folded(name).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest())
