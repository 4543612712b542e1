"""Errors about files of a local source that somebody has replaced since rclone listed them.

rclone may not follow a link that leads out of the source: the system then says ``permission
denied``, though the permissions are in order. rclone lists no links, so a file of its list that is
one now, or lies below one, has been replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from portal.engine.answers.single_file import on_disk
from portal.engine.failures.exit_codes import REPLACED
from portal.engine.order.command import TransferOrder
from portal.engine.output.statistics import Error


def reworded(errors: Iterable[Error], order: TransferOrder) -> list[Error]:
    """The same errors, with the words ``REPLACED`` for what the system says of such files."""
    kept = list(errors)
    source = order.local_source
    if source is None or not order.moves:
        return kept
    words = _other_words(source, {error.object for error in kept if error.object}, order)
    return [_with(words, error) for error in kept]


def _with(words: dict[str, str], error: Error) -> Error:
    message = error.message
    for systems, ours in words.items():
        message = message.replace(systems, ours)
    return error if message == error.message else replace(error, message=message)


def _other_words(source: Path, names: set[str], order: TransferOrder) -> dict[str, str]:
    """Also for the lines without a name, in which rclone repeats the last error."""
    words = {}
    for name in sorted(names):
        for path in _paths(source, name):
            ours = f"{path}: {REPLACED}"
            words[f"read {path}: is a directory"] = ours
            if order.operation == "move":
                words[f"remove {path}: no such file or directory"] = ours
            if _lies_behind_a_link(source, path):
                words[f"{path}: permission denied"] = ours
    return words


def _paths(source: Path, name: str) -> set[str]:
    """As the system's errors may spell the path of the file. A source that is one file is itself
    called by that name."""
    forms = {name, on_disk(name)}
    below = {f"{source}/{form}" for form in forms}
    return below | ({str(source)} if source.name in forms else set())


def _lies_behind_a_link(source: Path, path: str) -> bool:
    """The source itself may be a link that was given."""
    if path == str(source):
        return source.is_symlink()
    inner = path[len(str(source)) + 1 :].split("/")
    with suppress(OSError, ValueError):  # no name that a disk can hold: nothing is known of it
        return any(source.joinpath(*inner[: depth + 1]).is_symlink() for depth in range(len(inner)))
    return False
