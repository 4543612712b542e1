"""How a transfer, or one try of it, has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portal.engine.output.found import Found
from portal.engine.output.plan import Plan
from portal.engine.output.progress import Progress
from portal.engine.output.report import Differences


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `stopped` is right whatever the exit code is; the code is negative for a
    signal, and None if no rclone ended. `plan`: of a successful dry run. `is_retryable`: another
    try may well succeed; `retry_words` then says in a few words why this one did not."""

    succeeded: bool
    stopped: bool
    exit_code: int | None
    reason: str | None
    error_lines: tuple[str, ...]
    progress: Progress | None
    plan: Plan | None = None
    found: Found = field(default_factory=Found)
    is_retryable: bool = False
    retry_words: str = ""
    #: The result of a comparison that came to its end.
    differences: Differences | None = None
    #: Some files could be compared by their size only, though more was asked for.
    size_only: bool = False
    #: Files that have no hash and were taken for equal by their size.
    by_size: int = 0
    #: A file could not be given its mode, or not be asked for it.
    modes_refused: bool = False
    #: A dry run has seen the marker of one end in the other.
    marker_below: bool = False
    #: No file was there to be copied, or to be compared.
    found_nothing: bool = False
    #: Files of a move, and their bytes, that have arrived and still lie at the source.
    copied_only: tuple[int, int] = (0, 0)
    #: The first of these, and their sizes, where the next try may find that they are equal.
    stayed: Mapping[str, int] = field(default_factory=dict)
    #: The first files that rclone said it deleted.
    deleted: tuple[str, ...] = ()
