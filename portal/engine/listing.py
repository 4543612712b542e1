"""What lies in a folder of a remote, and a new folder in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.engine.asking import Answer, ask
from portal.engine.exit_codes import reason_for
from portal.engine.remotes import Remote, address

#: A hundred thousand entries or so; who has more finds by name.
_MOST = 24 * 1024 * 1024
_MISSING = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """``size`` in bytes; None of a folder, and where the storage does not tell."""

    name: str
    folder: bool
    size: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """``problem`` is a sentence for a person if it could not be listed; ``missing``: because there
    is no such folder. ``partial``: there is more than was read."""

    entries: tuple[Entry, ...]
    problem: str | None
    missing: bool
    partial: bool
    seconds: float


def list_folder(rclone: Path, remote: Remote, path: str, *, seconds: float) -> Listing:
    """Folders first, then files, each by name. Raises EngineError if rclone cannot be started."""
    wanted = ["lsjson", "--no-mimetype", "--no-modtime", "--", address(remote, path)]
    answer = ask(rclone, wanted, remote, seconds=seconds, most=_MOST)
    entries = sorted(_entries(answer.output), key=lambda entry: (not entry.folder, entry.name))
    return Listing(
        entries=tuple(entries),
        problem=problem(answer, seconds),
        missing=answer.exit_code == _MISSING,
        partial=answer.full,
        seconds=answer.seconds,
    )


def make_folder(rclone: Path, remote: Remote, path: str, *, seconds: float) -> str | None:
    """None, or why not. A storage of objects keeps no empty folder, and says nothing."""
    answer = ask(
        rclone, ["mkdir", "--", address(remote, path)], remote, seconds=seconds, most=_MOST
    )
    return problem(answer, seconds)


def problem(answer: Answer, seconds: float) -> str | None:
    """Why it failed, in a sentence; None if it did not."""
    if answer.full:
        return None
    if answer.cut:
        return f"There was no answer within {seconds:.0f} s. Check the address and the firewall."
    if answer.exit_code == 0:
        return None
    if answer.exit_code == _MISSING:
        return "There is no such folder."
    return reason_for(answer.exit_code, False, answer.errors)


def _entries(output: bytes) -> list[Entry]:
    """lsjson writes one entry a line, so that one that was cut off is simply no entry."""
    lines = (line.strip().rstrip(b",") for line in output.splitlines())
    return [entry for line in lines if (entry := _entry(line)) is not None]


def _entry(line: bytes) -> Entry | None:
    if not line.startswith(b"{"):
        return None
    try:
        told: Any = json.loads(line)
    except ValueError:
        return None
    size = told.get("Size")
    folder = bool(told.get("IsDir"))
    known = isinstance(size, int) and size >= 0 and not folder
    return Entry(str(told.get("Name", "")), folder, size if known else None)
