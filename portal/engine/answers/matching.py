"""Which files of a source a transfer would take: rclone's own answer, by the very same filters."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.engine.answers import single_file
from portal.engine.answers.listing import ListingReader, problem
from portal.engine.answers.run_once import RcloneAnswer, run_once
from portal.engine.errors import EngineError
from portal.engine.order import flags
from portal.engine.order.remotes import Remote, address
from portal.engine.order.runtime_dir import RuntimeDir
from portal.transfers.options import Options

#: A hundred thousand files or so.
_MAX_BYTES = 24 * 1024 * 1024
_SHOWN = 10
_YIELD_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class MatchingFile:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Matching:
    """``first``: a few by name. ``partial``: there was more to look at than time or room.
    ``problem``: a sentence for a person if it could not be found out."""

    files: int
    size: int
    first: tuple[MatchingFile, ...]
    partial: bool
    problem: str | None


def list_matching(
    rclone: Path,
    remote: Remote | None,
    path: str,
    options: Options,
    *,
    seconds: float,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> Matching:
    """``path``: on the remote, or an absolute local one. Raises as ``list_folder``."""
    if remote is None and (not path.startswith("/") or "\0" in path):
        raise EngineError("A folder of this machine must be an absolute path.")
    try:
        runtime_dir = RuntimeDir()
    except OSError as error:
        raise EngineError(f"There is no room for the filters: {error.strerror}.") from error
    try:
        only = None
        if options.filters:
            shape = single_file.shape_of(rclone, remote, path, is_unwanted=is_unwanted)
            if shape.problem:
                return Matching(0, 0, (), partial=False, problem=shape.problem)
            only = shape.name
        if only is not None:
            path = single_file.split(path)[0]
        filters = flags.of_filters(options, runtime_dir.filters(options, only), time.time())
        depth = "--max-depth=1" if only is not None else "--recursive"
        wanted = ["lsjson", depth, "--files-only", "--no-mimetype", *filters, "--"]
        where = path if remote is None else address(remote, path)
        read = [os.path.realpath(runtime_dir.folder), *([path] if remote is None else [])]
        answer = run_once(
            rclone,
            [*wanted, where],
            remote,
            seconds=seconds,
            most=_MAX_BYTES,
            paths=read,
            is_unwanted=is_unwanted,
        )
    finally:
        runtime_dir.remove()
    return _summed(answer, seconds)


def _summed(answer: RcloneAnswer, seconds: float) -> Matching:
    first: list[MatchingFile] = []
    number = size = 0
    listed = ListingReader(answer)
    for file in map(_file, listed.entries()):
        number, size = number + 1, size + file.size
        first.append(file)
        if number % _YIELD_EVERY == 0:
            first = heapq.nsmallest(_SHOWN, first, key=_name)
            time.sleep(0)  # the others of this process have their turn
    shown = tuple(heapq.nsmallest(_SHOWN, first, key=_name))
    partial = answer.cut or answer.full
    why = None if partial else problem(answer, seconds) or listed.problem
    return Matching(number, size, shown, partial, why)


def _name(file: MatchingFile) -> str:
    return file.name


def _file(entry: dict[str, Any]) -> MatchingFile:
    size = entry.get("Size")
    return MatchingFile(entry["Path"], max(0, size) if isinstance(size, int) else 0)
