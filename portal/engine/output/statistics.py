"""One line of rclone's log, read without trust: any bytes give a Line, never an error."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import orjson

from portal.engine.output.plan import Skipped
from portal.engine.output.redaction import SecretRedactor
from portal.transfers.names import visible

_LARGEST = 2**63 - 1
_NAME_LENGTH = 1000
_TEXT_LENGTH = 2000
_ERROR_LEVELS = frozenset({"error", "critical", "alert", "emergency", "fatal", "panic"})
#: Our names for rclone's levels; any other level stops something and counts as an error.
_LEVELS = {"debug": "debug", "info": "info", "notice": "notice", "warning": "warning"}


@dataclass(frozen=True, slots=True)
class CurrentFile:
    """A file in work. `size` and `percent` are None while unknown."""

    name: str
    size: int | None
    bytes_transferred: int
    percent: float | None
    speed_bytes: int


class FileAction(Enum):
    """What rclone did to a file. ``EQUAL``: nothing, since it is at the destination already.
    ``COMPARED``: all comparisons are over, and the first transfer follows. ``GONE``: somebody has
    taken a file from the source that was copied."""

    COPIED = auto()
    REPLACED = auto()
    MOVED = auto()
    DELETED = auto()
    FAILED = auto()
    EQUAL = auto()
    COMPARED = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Done:
    """``size`` is 0 where rclone does not tell it. The name is rclone's own, for comparing."""

    action: FileAction
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class RcloneStatistics:
    """The figures of one line as rclone gives them, in bytes and seconds.

    `travelled` are those of the bytes that were read and written; a rename moves a file
    without. `transfer_time` is `elapsed` without the time when no file was in work.
    """

    bytes: int = 0
    total_bytes: int = 0
    transfers: int = 0
    total_transfers: int = 0
    checks: int = 0
    total_checks: int = 0
    listed: int = 0
    deletes: int = 0
    errors: int = 0
    travelled: int = 0
    elapsed: float = 0.0
    transfer_time: float = 0.0
    transferring: tuple[CurrentFile, ...] = ()
    checking: tuple[CurrentFile, ...] = ()
    #: Bytes that were moved by a rename.
    renamed: int = 0
    #: Every file in work, by rclone's own name, and how much of it is sent.
    in_flight: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Error:
    """``object`` and ``message`` as rclone wrote them, to look for a reason in; they may hold
    secrets. ``text`` may be shown."""

    text: str
    object: str = field(default="", repr=False)
    message: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """The content of a line: statistics, or a message, which may be an error. Credentials are
    masked in all texts for people, but not in the names of skipped files. ``level`` is empty
    without a message. ``broken``: the line is one of rclone's, and cannot be read."""

    statistics: RcloneStatistics | None = None
    error: Error | None = None
    level: str = ""
    object: str = ""
    message: str = ""
    skipped: Skipped | None = None
    broken: bool = False
    done: Done | None = None


_NO_SECRETS = SecretRedactor()


def parse(raw: bytes, redactor: SecretRedactor = _NO_SECRETS) -> LogRecord:
    """Reads one line. What does not begin as JSON comes from outside rclone's log (setpriv, a
    crash)."""
    entry = decode(raw)
    return _outside(raw, redactor) if entry is None else read(entry, redactor)


def read(entry: dict[str, Any], redactor: SecretRedactor = _NO_SECRETS) -> LogRecord:
    """Reads one line that was decoded."""
    stats = entry.get("stats")
    if isinstance(stats, dict):
        return LogRecord(statistics=_statistics(stats, redactor))
    message, subject = _text(entry.get("msg")).strip(), _text(entry.get("object"))
    skipped = skipped_in(entry)
    broken = skipped is None and "skipped" in entry
    if not message and not subject:
        return LogRecord(skipped=skipped, broken=broken)
    error = None
    # The closing line ("Failed to copy: …") is a mere notice.
    if entry.get("level") in _ERROR_LEVELS or message.startswith("Failed to "):
        shown, about = redactor.redact(message), redactor.redact(subject)
        text = f"{about}: {shown}" if about else shown
        error = Error(text[:_TEXT_LENGTH], subject, message)
    level, about, shown = words(entry, redactor)
    return LogRecord(
        error=error,
        level=level,
        object=about,
        message=shown,
        skipped=skipped,
        broken=broken,
        done=_done(entry),
    )


def words(entry: dict[str, Any], redactor: SecretRedactor) -> tuple[str, str, str]:
    """Level, object and message of a line, as a log may show them."""
    about = redactor.redact(_text(entry.get("object")))
    shown = redactor.redact(_text(entry.get("msg")).strip())
    level = _LEVELS.get(_text(entry.get("level")), "error")
    return level, printable(about, _NAME_LENGTH), printable(shown, _TEXT_LENGTH)


def _outside(raw: bytes, redactor: SecretRedactor) -> LogRecord:
    # Redacted before it is cut: half a secret would not be recognised.
    text = redactor.redact(raw.decode("utf-8", "replace").strip())[:_TEXT_LENGTH]
    if not text:
        return LogRecord()
    broken = raw.startswith(b"{")
    if broken:
        # It mixes words with names and figures: no reason can be read in it.
        message = f"A line of rclone's log cannot be read: {text}"[:_TEXT_LENGTH]
        error = Error(message)
    else:
        message = text
        error = Error(text, message=text)
    return LogRecord(
        error=error, level="error", message=printable(message, _TEXT_LENGTH), broken=broken
    )


#: How rclone begins to say what it has done; the particular first.
_ACTIONS = (
    (re.compile(r"(?:Multi-thread )?Copied \([^)]*replaced existing"), FileAction.REPLACED),
    (re.compile(r"(?:Multi-thread )?Copied \("), FileAction.COPIED),
    (re.compile(r"Moved \("), FileAction.MOVED),
    (re.compile(r"Deleted$"), FileAction.DELETED),
    (re.compile(r"Checks finished, now starting transfers$"), FileAction.COMPARED),
)
_FAILED = re.compile(r"(?:Failed to (?:copy|move)|Couldn't move|partial file rename failed)\b")


def _done(entry: dict[str, Any]) -> Done | None:
    level, text = entry.get("level"), _text(entry.get("msg"))
    name = _text(entry.get("object"))
    if level == "error":
        return Done(FileAction.FAILED, name, 0) if name and _FAILED.match(text) else None
    if level == "info":
        for beginning, action in _ACTIONS:
            if beginning.match(text):
                return Done(action, name, _count(entry.get("size")))
    return None


def equal_in(entry: dict[str, Any]) -> str | None:
    """The name of the file of which a line for debugging says that it is at the destination
    already, if it does."""
    return _text(entry.get("object")) if entry.get("msg") == "Unchanged skipping" else None


def skipped_in(entry: dict[str, Any]) -> Skipped | None:
    """None if nothing was skipped, or if it cannot be said what."""
    action, name, size = entry.get("skipped"), entry.get("object"), entry.get("size", 0)
    if type(size) is not int or not isinstance(action, str) or not isinstance(name, str):
        return None
    # A size that the storage does not tell is negative.
    return Skipped(action, name, _count(size))


def printable(text: str, limit: int) -> str:
    """At most `limit` characters, with everything escaped that must not be in a name."""
    if len(text) <= limit and text.isprintable():  # nearly every one
        return text
    text = visible(text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


#: What a dry run says of each file: words of rclone's own, in which nothing can be secret.
_SKIPPED = re.compile(r"Skipped [a-z ]+ as --dry-run is set(?: \(size [\w.]+\))?")


def skip_words(entry: dict[str, Any], redactor: SecretRedactor) -> tuple[str, str, str] | None:
    """As ``words``, if the line says only that a dry run skipped something. A plan of many files
    takes as long as it takes to read these lines."""
    message, level, subject = entry.get("msg"), entry.get("level"), entry.get("object")
    if level != "notice" or not isinstance(subject, str) or not isinstance(message, str):
        return None
    if not _SKIPPED.fullmatch(message):
        return None
    return "notice", printable(redactor.redact(subject), _NAME_LENGTH), message


def decode(raw: bytes) -> dict[str, Any] | None:
    """None if it is no line of rclone's log."""
    if not raw.startswith(b"{"):
        return None
    try:
        entry: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _decode_odd(raw)
    return entry


def _decode_odd(raw: bytes) -> dict[str, Any] | None:
    """Reads JSON with names that are not UTF-8 as well."""
    try:
        entry: dict[str, Any] = json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return entry


def _statistics(stats: dict[str, Any], redactor: SecretRedactor) -> RcloneStatistics:
    done = _count(stats.get("bytes"))
    renamed = _count(stats.get("serverSideMoveBytes"))
    return RcloneStatistics(
        bytes=done,
        total_bytes=_count(stats.get("totalBytes")),
        transfers=_count(stats.get("transfers")),
        total_transfers=_count(stats.get("totalTransfers")),
        checks=_count(stats.get("checks")),
        total_checks=_count(stats.get("totalChecks")),
        listed=_count(stats.get("listed")),
        deletes=_count(stats.get("deletes")),
        errors=_count(stats.get("errors")),
        travelled=max(0, done - renamed),
        elapsed=_seconds(stats.get("elapsedTime")),
        transfer_time=_seconds(stats.get("transferTime")),
        transferring=_files(stats.get("transferring"), redactor),
        checking=_files(stats.get("checking"), redactor),
        renamed=renamed,
        in_flight=_in_flight(stats.get("transferring")),
    )


def _in_flight(entries: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(entries, list):
        return ()
    return tuple(
        (_text(entry.get("name")), _sent(entry)) for entry in entries if isinstance(entry, dict)
    )


def _sent(entry: dict[str, Any]) -> int:
    # A file that grows while it is read is no more than its size.
    done = _count(entry.get("bytes"))
    size = entry.get("size")
    return done if _is_negative(size) else min(done, _count(size))


def _files(entries: object, redactor: SecretRedactor) -> tuple[CurrentFile, ...]:
    if not isinstance(entries, list):
        return ()
    return tuple(_file(entry, redactor) for entry in entries[:10])


def _file(entry: object, redactor: SecretRedactor) -> CurrentFile:
    if not isinstance(entry, dict):
        return CurrentFile(_shown(entry, redactor), None, 0, None, 0)
    number = entry.get("size")
    size = None if _is_negative(number) else _count(number)
    done = _count(entry.get("bytes"))
    return CurrentFile(
        name=_shown(entry.get("name"), redactor),
        size=size,
        bytes_transferred=done,
        percent=min(100.0, done * 1000 // size / 10) if size else None,
        speed_bytes=_count(entry.get("speed")),
    )


def _shown(name: object, redactor: SecretRedactor) -> str:
    return printable(redactor.without_secrets(_text(name)), _NAME_LENGTH)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_negative(value: object) -> bool:
    return not isinstance(value, int | float) or value < 0


def _count(value: object) -> int:
    """A whole number from 0 to the largest that a database holds; 0 for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    # Compared first: not-a-number and infinity have no whole part.
    return int(value) if 0 <= value <= _LARGEST else 0


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= _LARGEST else 0.0
