"""Findings of an attempt that are not figures of progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Found:
    """Each field is a column of the job with that name, see ``models.Job``."""

    outcome: str | None = None
    compared_by: str | None = None
    differences: dict[str, Any] | None = None
    difference_names: dict[str, Any] | None = None
    links_left_out: int = 0
    specials_left_out: int = 0
    left_out_names: dict[str, Any] | None = None
    unreadable_lines: int = 0
