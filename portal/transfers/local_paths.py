"""Which local paths a transfer may touch: those at or below an allowed root, and no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

_MAX_LENGTH = 4095  # PATH_MAX of Linux, without its closing NUL


class Roots(tuple[Path, ...]):  # noqa: SLOT001 - no tuple can have slots
    """The folders that are open to transfers."""

    #: Returns why a path in one of them may still not be used: it holds the portal's own files.
    refusal: Callable[[Path], str | None]

    @classmethod
    def of(
        cls, roots: Iterable[Path], refusal: Callable[[Path], str | None] = lambda _path: None
    ) -> Roots:
        made = cls(roots)
        made.refusal = refusal
        return made


class PathRefused(Exception):
    """The path may not be used; `reason` is a sentence for the person who typed it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def resolve(text: str, roots: Roots) -> Path:
    """The real path that `text` names, at or below the real path of one of `roots`.

    Symbolic links are followed as far as the path exists; the rest may not exist yet.
    Raises PathRefused, and nothing else, whatever the text.
    """
    if not roots:
        raise PathRefused("No folder is open to transfers. Ask an admin to allow one.")
    _refuse_malformed(text, roots)
    try:
        path = _real(text)
        allowed = any(path.is_relative_to(os.path.realpath(root)) for root in roots)
    except OSError as error:
        raise PathRefused(f"The path cannot be followed: {error.strerror}.") from error
    if not allowed:
        raise PathRefused(f"The path must be inside {_listed(roots)}.")
    if reason := roots.refusal(path):
        raise PathRefused(reason)
    return path


def _real(text: str) -> Path:
    """Raises OSError if a link cannot be read, which Python 3.13 takes for no link."""
    path = Path(os.path.realpath(text))
    for place in (path, *path.parents):
        if os.path.islink(place):  # noqa: PTH114 - unlike Path's, it takes a name of any length
            os.readlink(place)  # noqa: PTH115 - the same
    return path


def is_missing(path: Path, roots: Sequence[Path]) -> bool:
    """True if certainly nothing exists at `path`, which is in one of `roots`. In a folder that may
    not be read, something might."""
    if not any(path.is_relative_to(os.path.realpath(root)) for root in roots):
        return False
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def nested(a: Path, b: Path) -> bool:
    """Whether both are the same folder, or one contains the other."""
    one, other = Path(os.path.realpath(a)), Path(os.path.realpath(b))
    return one.is_relative_to(other) or other.is_relative_to(one)


def _refuse_malformed(text: str, roots: Sequence[Path]) -> None:
    if not text:
        raise PathRefused("Enter a path.")
    if "\0" in text:
        raise PathRefused("A path cannot contain a NUL character.")
    # A remote such as `:sftp,ssh=…:` runs commands; nothing that starts with "/" is one.
    if not text.startswith("/"):
        raise PathRefused(f"Enter a full path inside {_listed(roots)}.")
    if ".." in text.split("/"):
        raise PathRefused("A path cannot contain “..”.")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise PathRefused("The path contains a character that no file name can have.") from error
    if len(encoded) > _MAX_LENGTH:
        raise PathRefused(f"The path is longer than {_MAX_LENGTH} bytes.")


def _listed(roots: Sequence[Path]) -> str:
    return " or ".join(str(root) for root in roots)
