"""One line of rclone's log, read without trust: any bytes give a Line or None, never an error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from portal.engine.plan import Skipped
from portal.engine.redaction import masked
from portal.names import visible

_LARGEST = 2**63 - 1
_NAME_LENGTH = 1000
_TEXT_LENGTH = 2000
_ERROR_LEVELS = frozenset({"error", "critical", "alert", "emergency", "fatal", "panic"})
#: What rclone's levels are called here; any other word for one that stops something is an error.
_LEVELS = {"debug": "debug", "info": "info", "notice": "notice", "warning": "warning"}


@dataclass(frozen=True, slots=True)
class CurrentFile:
    """A file in work. `size` and `percent` are None while unknown."""

    name: str
    size: int | None
    bytes_transferred: int
    percent: float | None
    speed_bytes: int


@dataclass(frozen=True, slots=True)
class Statistics:
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


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says: figures, or words; of these some are an error. Credentials are masked in
    all of them. ``level`` is empty where there are no words."""

    statistics: Statistics | None = None
    error: str | None = None
    level: str = ""
    object: str = ""
    message: str = ""
    skipped: Skipped | None = None


def parse(raw: bytes) -> Line:
    """Reads one line. What is not JSON comes from outside rclone's log (setpriv, a crash)."""
    entry = _decode(raw)
    if entry is None:
        text = masked(raw[:_TEXT_LENGTH].decode("utf-8", "replace").strip())
        return (
            Line(error=text, level="error", message=printable(text, _TEXT_LENGTH))
            if text
            else Line()
        )
    stats = entry.get("stats")
    if isinstance(stats, dict):
        return Line(statistics=_statistics(stats))
    message = masked(_text(entry.get("msg")).strip())
    subject = masked(_text(entry.get("object")))
    if not message and not subject:
        return Line()
    level = _text(entry.get("level"))
    return Line(
        error=_error(level, subject, message),
        level=_LEVELS.get(level, "error"),
        object=printable(subject, _NAME_LENGTH),
        message=printable(message, _TEXT_LENGTH),
        skipped=_skipped(entry),
    )


def _skipped(entry: dict[str, Any]) -> Skipped | None:
    deed = entry.get("skipped")
    if not isinstance(deed, str):
        return None
    return Skipped(deed, _text(entry.get("object")), _count(entry.get("size")))


def printable(text: str, limit: int) -> str:
    """At most `limit` characters, with all that may not stand in a name escaped."""
    text = visible(text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _decode(raw: bytes) -> dict[str, Any] | None:
    if not raw.startswith(b"{"):
        return None
    try:
        entry = json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _error(level: str, subject: str, message: str) -> str | None:
    # The closing line ("Failed to copy: …") is a mere notice.
    if level not in _ERROR_LEVELS and not message.startswith("Failed to "):
        return None
    return (f"{subject}: {message}" if subject else message)[:_TEXT_LENGTH]


def _statistics(stats: dict[str, Any]) -> Statistics:
    done = _count(stats.get("bytes"))
    renamed = _count(stats.get("serverSideMoveBytes"))
    return Statistics(
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
        transferring=_files(stats.get("transferring")),
        checking=_files(stats.get("checking")),
    )


def _files(entries: object) -> tuple[CurrentFile, ...]:
    if not isinstance(entries, list):
        return ()
    return tuple(_file(entry) for entry in entries[:10])


def _file(entry: object) -> CurrentFile:
    if not isinstance(entry, dict):
        return CurrentFile(printable(_text(entry), _NAME_LENGTH), None, 0, None, 0)
    told = entry.get("size")
    size = None if _is_negative(told) else _count(told)
    done = _count(entry.get("bytes"))
    return CurrentFile(
        name=printable(_text(entry.get("name")), _NAME_LENGTH),
        size=size,
        bytes_transferred=done,
        percent=min(100.0, done * 1000 // size / 10) if size else None,
        speed_bytes=_count(entry.get("speed")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_negative(value: object) -> bool:
    return not isinstance(value, int | float) or value < 0


def _count(value: object) -> int:
    """A whole number from 0 to the largest that a database holds; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    # Compared first: not-a-number and infinity have no whole part.
    return int(value) if 0 <= value <= _LARGEST else 0


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= _LARGEST else 0.0
