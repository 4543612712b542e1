"""The current obstacle of a running transfer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """``words`` have no full stop. Times in seconds since 1970: since when nothing arrives; when
    the next try begins."""

    words: str
    silent_since: float | None = None
    next_try_at: float | None = None
