"""Lists a folder of a remote, and makes a new folder in it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.engine.answers.run_once import RcloneAnswer, run_once
from portal.engine.failures.exit_codes import cause_of, reason_for
from portal.engine.markers import is_marker
from portal.engine.order.remotes import Remote, address

#: A hundred thousand entries or so; who has more finds by name.
_MAX_BYTES = 24 * 1024 * 1024
_MISSING = 3
_UNREADABLE = "Part of this folder's listing could not be read. Reload it."
#: The end of Go's message when the storage gave an answer that rclone did not expect.
_PANIC = 2
#: rclone's own messages.
_WORDS = 300
_ERROR_PREFIX = re.compile(
    r'^(error listing: |Failed to create file system for "[^"]*": |NewFs: )+'
)


@dataclass(frozen=True, slots=True)
class Entry:
    """``size`` in bytes; None of a folder, and where the storage does not tell."""

    name: str
    folder: bool
    size: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """``problem``: a sentence for a person if it could not be listed. ``missing``: there is no such
    folder. ``partial``: there is more than was read. ``unknown``: rclone's last message, if its
    meaning is not known here."""

    entries: tuple[Entry, ...]
    problem: str | None
    missing: bool
    partial: bool
    seconds: float
    unknown: str = ""


def list_folder(
    rclone: Path,
    remote: Remote,
    path: str,
    *,
    seconds: float,
    is_unwanted: Callable[[], bool] = lambda: False,
    learned: Path | None = None,
) -> Listing:
    """Folders first, then files, each by name. ``learned``: a file of settings to which rclone adds
    the host key that the server shows. Raises EngineError if rclone cannot be started, and as its
    subclass Abandoned once ``is_unwanted``."""
    learns = ["--sftp-pin-host-key"] if learned is not None else []
    wanted = ["lsjson", "--no-mimetype", "--no-modtime", *learns, "--", address(remote, path)]
    answer = run_once(
        rclone,
        wanted,
        remote,
        seconds=seconds,
        most=_MAX_BYTES,
        config=learned,
        is_unwanted=is_unwanted,
    )
    listed = ListingReader(answer)
    shown = (entry for entry in map(_entry, listed.entries()) if not is_marker(entry.name))
    entries = sorted(shown, key=lambda entry: (not entry.folder, entry.name))
    return Listing(
        entries=tuple(entries),
        problem=problem(answer, seconds) or listed.problem,
        missing=answer.exit_code == _MISSING,
        partial=answer.full,
        seconds=answer.seconds,
        unknown=_unknown(answer),
    )


def answers_to_anything(
    rclone: Path,
    remote: Remote,
    *,
    seconds: float,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> bool:
    """Whether it lists even a folder that cannot exist, as a web page does that answers to whatever
    is asked. Raises as ``list_folder``."""
    name = f"no-such-{secrets.token_hex(8)}"
    wanted = ["lsjson", "--no-mimetype", "--no-modtime", "--", address(remote, name)]
    answer = run_once(
        rclone, wanted, remote, seconds=seconds, most=_MAX_BYTES, is_unwanted=is_unwanted
    )
    return answer.exit_code in (0, _PANIC)


def make_folder(
    rclone: Path,
    remote: Remote,
    path: str,
    *,
    seconds: float,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> str | None:
    """None, or why not. A storage of objects keeps no empty folder, and says nothing. Raises as
    ``list_folder``."""
    wanted = ["mkdir", "--", address(remote, path)]
    answer = run_once(
        rclone, wanted, remote, seconds=seconds, most=_MAX_BYTES, is_unwanted=is_unwanted
    )
    return problem(answer, seconds)


def problem(answer: RcloneAnswer, seconds: float) -> str | None:
    """Why it failed, in a sentence; None if it did not."""
    if answer.full:
        return None
    if answer.cut:
        return f"There was no answer within {seconds:.0f} s. Check the address and the firewall."
    if answer.exit_code == 0:
        return None
    if answer.exit_code == _MISSING:
        return "There is no such folder."
    if cause := cause_of(answer.nameless_errors):
        return cause
    if answer.exit_code == _PANIC:
        return "What answers there makes no sense to rclone. Check the address."
    if words := _unknown(answer):
        return f"It failed. rclone says: {words}"
    return reason_for(answer.exit_code, False, answer.nameless_errors)


def _unknown(answer: RcloneAnswer) -> str:
    """Without rclone's own way to it, which names what the person knows already."""
    if answer.cut or answer.full or answer.exit_code in (0, _PANIC, _MISSING):
        return ""
    if not answer.errors or cause_of(answer.nameless_errors):
        return ""
    words = _ERROR_PREFIX.sub("", answer.errors[-1])
    return words if len(words) <= _WORDS else f"{words[: _WORDS - 1]}…"


class ListingReader:
    """Reads the output of ``lsjson``: one entry on each line between ``[`` and ``]``."""

    def __init__(self, answer: RcloneAnswer) -> None:
        self._lines = answer.output.splitlines()
        #: rclone was ended before it had listed everything: its last line may be incomplete.
        self._cut = answer.cut or answer.full
        self._failed = answer.exit_code != 0
        self._broken = 0

    def entries(self) -> Iterator[dict[str, Any]]:
        """Each with a ``Path`` and a ``Name`` that are texts."""
        for line in self._lines:
            text = line.strip().rstrip(b",")
            if text in (b"", b"[", b"]", b"[]"):
                continue
            try:
                entry: Any = json.loads(text)
            except (ValueError, RecursionError):
                entry = None
            if isinstance(entry, dict) and all(
                isinstance(entry.get(name), str) for name in ("Path", "Name")
            ):
                yield entry
            else:
                self._broken += 1

    @property
    def problem(self) -> str | None:
        """After all entries: why they are not all, in a sentence, though rclone had no error."""
        if self._cut or self._failed:
            return None
        ended = self._lines and self._lines[-1].strip().endswith(b"]")
        return None if ended and not self._broken else _UNREADABLE


def _entry(entry: dict[str, Any]) -> Entry:
    size, folder = entry.get("Size"), bool(entry.get("IsDir"))
    known = isinstance(size, int) and size >= 0 and not folder
    return Entry(entry["Name"], folder, size if known else None)
