"""Names of files that are not whole yet: `photo.jpg.32a46c13.portal03fk7q-1` is of the first
attempt of a job, which six digits from 0 to z tell from all others.

rclone gives one file of one source always the same eight digits. Without the attempt, a process
that was frozen and thawed would write to the partial file of its successor, or remove it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
#: rclone takes a suffix of 16 characters at most.
_JOB, _ATTEMPT = 36**6, 36**2
_HASH = "[0-9a-f]" * 8

#: Backends that write a file under its own name, or let it appear only when it is whole.
WITHOUT = frozenset({"webdav", "s3", "azureblob", "google cloud storage", "b2"})
#: All of them, of whatever job: no file of anybody. As rclone's filters write it.
PATTERN = f"*.{_HASH}.portal{{{{[0-9a-z]+-[0-9a-z]+}}}}"

_NAME = re.compile(rf".*\.{_HASH}\.portal[0-9a-z]+-[0-9a-z]+", re.DOTALL)


def is_partial(name: str) -> bool:
    """Whether ``PATTERN`` leaves out a file of this name, whoever gave it."""
    return _NAME.fullmatch(name) is not None


def tag(job_id: int, portal: str = "") -> str:
    """``portal`` tells this portal from others that write to the same storage, and whose jobs have
    the same numbers."""
    digest = hashlib.blake2b(f"{portal}\0{job_id}".encode(), digest_size=16).digest()
    return _number(int.from_bytes(digest) % _JOB).rjust(6, "0")


def suffix(tag: str, attempt: int) -> str:
    return f".portal{tag}-{_number(attempt % _ATTEMPT)}"


def pattern_of(tag: str) -> str:
    """The patterns of partial files of all attempts of one job."""
    return f"*.{_HASH}.portal{tag}-{{{{[0-9a-z]+}}}}"


def whole_names(text: str, suffix: str) -> str:
    """The text with the names of the files that these partial ones were to become."""
    return re.sub(rf"\.{_HASH}{re.escape(suffix)}", "", text)


def remove(folders: Iterable[Path], suffix: str) -> None:
    """Removes what one attempt left in these local folders. Its rclone is dead: it tidies up when
    it is told to end, but not a file that it was just about to begin."""
    name = re.compile(rf".*\.{_HASH}{re.escape(suffix)}", re.DOTALL)
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    Path(entry.path).unlink()


def folders_below(top: Path, seconds: float) -> Iterator[Path]:
    """The folder and those in it, as far as so many seconds allow."""
    until = time.monotonic() + seconds
    folders = [top]
    while folders and time.monotonic() < until:
        folder = folders.pop()
        yield folder
        with suppress(OSError), os.scandir(folder) as entries:
            folders += [
                Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)
            ]


def _number(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
