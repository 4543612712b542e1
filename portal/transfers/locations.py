"""Source and destination: each is a path below a root, or ``remote-name:path``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from portal.transfers import names
from portal.transfers.local_paths import PathRefused, Roots, nested, resolve

NAME_LENGTH = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_MAX_LENGTH = 4095


@dataclass(frozen=True, slots=True)
class Location:
    """``text`` as rows keep and show it; ``remote_id`` of a local path is None."""

    text: str
    remote_id: int | None = None


def is_name(text: str) -> bool:
    """Whether a remote may be called so."""
    return _NAME.fullmatch(text) is not None


def locate(text: str, roots: Roots, remotes: Mapping[str, int]) -> Location:
    """Validates what was typed. ``remotes``: name → id of the remotes that the person may use.
    Raises PathRefused, and nothing else, whatever the text."""
    if text.startswith("/") or ":" not in text:
        return Location(str(resolve(text, roots)))
    name, path = split(text)
    # No name of ours comes before the first colon: it is a connection string, a flag or a drive.
    if name is None or not is_name(name):
        raise PathRefused("Before the colon, write the name of a remote, such as backup:folder.")
    if name not in remotes:
        raise PathRefused(f"No remote named “{name}” is available to you.")
    refuse_malformed(path)
    return Location(f"{name}:{path}", remotes[name])


def split(text: str) -> tuple[str | None, str]:
    """The remote's name, None of a local path; and the path."""
    if text.startswith("/"):
        return None, text
    name, colon, path = text.partition(":")
    return (name, path) if colon else (None, text)


def refuse_malformed(path: str) -> None:
    """Raises PathRefused for text that must not follow a remote's name."""
    if not names.is_name(path):
        raise PathRefused("A path on a remote cannot contain line breaks or control characters.")
    if {".", ".."} & set(re.split(r"[/\\]", path)):
        raise PathRefused("A path cannot contain “.” or “..” as a folder.")
    try:
        encoded = path.encode()
    except UnicodeEncodeError as error:
        raise PathRefused("The path contains a character that no file name can have.") from error
    if len(encoded) > _MAX_LENGTH:
        raise PathRefused(f"The path is longer than {_MAX_LENGTH} bytes.")


def overlap(one: str, other: str) -> bool:
    """Whether both name the same folder, or one contains the other."""
    (first, a), (second, b) = split(one), split(other)
    if first != second:
        return False
    if first is None:
        return nested(Path(a), Path(b))
    here, there = PurePosixPath("/" + a.lstrip("/")), PurePosixPath("/" + b.lstrip("/"))
    return here.is_relative_to(there) or there.is_relative_to(here)
