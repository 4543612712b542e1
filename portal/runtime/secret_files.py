"""Secrets in files: the key of this portal, and the files that ``…_FILE`` variables name."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from portal.errors import SettingsError
from portal.runtime import private_files

#: A generated key has 64 characters; people who wrote their own may have chosen fewer.
_SHORTEST_KEY = 32
_LARGEST = 64 * 1024


class _Unusable(Exception):
    """The message says in a few words why nothing can be read from a file."""


def from_environment(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Reads the ``PORTAL_…_FILE`` variables of these settings. Returns values by setting, and a
    sentence for each file that cannot be used."""
    values, problems = {}, []
    for name in names:
        variable = f"PORTAL_{name.upper()}"
        path = os.environ.get(f"{variable}_FILE", "")
        if not path:
            continue
        if os.environ.get(variable):
            problems.append(f"{variable}: set it or {variable}_FILE, not both")
            continue
        try:
            values[name] = _content(Path(path))
        except _Unusable as reason:
            problems.append(f"{variable}_FILE: the file {path} {reason}")
    return values, problems


def own_key(path: Path) -> str:
    """Returns the key in this file, which is created at the first start. Raises SettingsError if
    the file holds no valid key."""
    if not os.path.lexists(path):
        try:
            _write_once(path, secrets.token_urlsafe(48))
        except OSError as error:
            raise SettingsError(
                f"PORTAL_SECRET_KEY: no key can be written to {path}: {error.strerror}"
            ) from None
    private_files.close_to_others(path)
    try:
        key = _content(path, may_be_a_pipe=False).strip()
        if len(key) < _SHORTEST_KEY or not (key.isascii() and key.isprintable()):
            raise _Unusable("is damaged")
    except _Unusable as reason:
        raise SettingsError(
            f"PORTAL_SECRET_KEY: the file {path} {reason}; put it back from a backup, or remove it "
            "and a new key is made, by which everybody has to sign in again and the stored "
            "secrets of remotes and second factors are lost"
        ) from None
    return key


def _content(path: Path, *, may_be_a_pipe: bool = True) -> str:
    """A pipe is allowed, because a shell passes a secret from another program through one."""
    try:
        if not may_be_a_pipe:
            private_files.refuse_what_is_no_file(path)
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise _Unusable(f"cannot be read ({error.strerror})") from None
    if len(data) > _LARGEST:
        raise _Unusable("is too large for a secret")
    try:
        text = data.decode("utf-8").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _Unusable("is damaged (it holds no text)") from None
    if not text.strip():
        raise _Unusable("is empty")
    if "\0" in text:
        raise _Unusable("is damaged (it holds no text)")
    return text


def _write_once(path: Path, text: str) -> None:
    """Writes the file so that it appears whole or not at all, whatever dies meanwhile. If several
    processes do this at once, one wins."""
    new = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _publish(new, path)
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _publish(new: Path, path: Path) -> None:
    # Unlike a rename, a link never replaces the key that another process created meanwhile.
    with contextlib.suppress(FileExistsError):
        try:
            os.link(new, path)
        except FileExistsError:
            raise
        except OSError:  # the file system has no links
            new.rename(path)
