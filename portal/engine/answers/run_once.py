"""Runs rclone for one short answer: in bounded time, of bounded length, and its process ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from portal.engine.errors import Abandoned, EngineError
from portal.engine.failures.error_names import names_of
from portal.engine.order import confinement
from portal.engine.order.remotes import Remote, beginning, variables
from portal.engine.output.progress import ProgressParser
from portal.engine.output.redaction import SecretRedactor
from portal.engine.output.statistics import printable
from portal.engine.output.stderr import StderrReader
from portal.engine.process.binary import SEARCH_PATH, ensure_executable, setpriv_path
from portal.engine.process.group import ProcessGroup

# One try, and short waits: a person waits for the answer.
SHORT_WAITS = (
    "--contimeout", "5s", "--timeout", "10s", "--retries", "1", "--low-level-retries", "1",
    "--use-json-log", "--log-level", "ERROR",
)  # fmt: skip
_POLL = 0.01
#: Seconds between two looks whether the answer is still wanted.
_LOOK_EVERY = 0.25
_ERROR_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class RcloneAnswer:
    """``cut``: rclone was ended because its time was over; ``full``: because it wrote too much.
    ``seconds``: how long it took. ``errors`` may be shown to people; ``nameless_errors`` are the
    same lines without names, to look for a reason in."""

    exit_code: int
    output: bytes
    errors: tuple[str, ...]
    nameless_errors: tuple[str, ...]
    cut: bool
    full: bool
    seconds: float


def run_once(
    rclone: Path,
    arguments: Sequence[str],
    remote: Remote | None = None,
    *,
    seconds: float,
    most: int,
    paths: Sequence[str] = (),
    config: Path | None = None,
    began: Callable[[Callable[[], None]], None] | None = None,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> RcloneAnswer:
    """Waits at most ``seconds`` for at most ``most`` bytes. ``began`` is called with a function
    that ends rclone early, from any thread. ``paths``: paths of this machine that rclone may read.
    ``config``: a file of settings, in a folder of its own, that rclone may change.
    ``is_unwanted`` is asked now and then; once it is true, rclone is ended.
    Raises EngineError if rclone cannot be started, Abandoned if the answer became unwanted."""
    ensure_executable(rclone)
    start = beginning(setpriv_path(), rclone, [remote] if remote else [])
    begun = time.monotonic()
    try:
        group = ProcessGroup(
            [*start, *arguments[:1], "--config", str(config or ""), *SHORT_WAITS, *arguments[1:]],
            {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", **(variables(remote) if remote else {})},
            output=True,
            rules=confinement.of_question(
                rclone,
                setpriv_path(),
                paths=paths,
                remote=remote is not None,
                changed=config.parent if config is not None else None,
            ),
        )
    except OSError as error:
        raise EngineError(f"rclone cannot be started: {error.strerror}.") from error
    early = _EarlyEnd(group)
    threading.Thread(target=early.watch, args=(seconds, is_unwanted), daemon=True).start()
    if began is not None:
        began(early.end)
    reader = StderrReader(
        group.stderr,
        ProgressParser("copy", False),
        SecretRedactor(remote.secrets if remote else ()),
    )
    reader.start()
    try:
        output, full = _read(group, most)
    finally:
        early.answered.set()
        _end(group, wait=not early.late)
    reader.wait()
    if early.unwanted:
        raise Abandoned
    errors = list(reader.errors)
    lines = tuple(printable(error.text, _ERROR_LENGTH) for error in errors)
    names = names_of(arguments[-1], remote)
    nameless_errors = tuple(names.without(error) for error in errors)
    seconds_taken = time.monotonic() - begun
    return RcloneAnswer(
        group.exit_code or 0, output, lines, nameless_errors, early.late, full, seconds_taken
    )


def _read(group: ProcessGroup, most: int) -> tuple[bytes, bool]:
    parts, length = [], 0
    with group.stdout as stream:
        while chunk := os.read(stream.fileno(), 65536):
            parts.append(chunk)
            length += len(chunk)
            if length > most:
                _kill(group)
                return b"".join(parts), True
            time.sleep(0)  # gives the other threads of this process a turn
    return b"".join(parts), False


class _EarlyEnd:
    """Ends rclone before it ends by itself."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self.answered = threading.Event()
        self.late = self.unwanted = False

    def watch(self, seconds: float, is_unwanted: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        while not self.answered.wait(min(_LOOK_EVERY, max(0.0, until - time.monotonic()))):
            self.unwanted = is_unwanted()
            if self.unwanted or time.monotonic() >= until:
                self.end()
                return

    def end(self) -> None:
        self.late = True
        _kill(self._group)


def _kill(group: ProcessGroup) -> None:
    group.stop(0)
    group.kill_if_overdue()


def _end(group: ProcessGroup, *, wait: bool) -> None:
    if not wait:
        _kill(group)
    patience = time.monotonic() + 2.0
    while not group.reap():
        if time.monotonic() > patience:
            _kill(group)
        time.sleep(_POLL)
