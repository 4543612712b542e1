"""One kind of error: its pattern, the sentence for a person, and whether another try may help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """``pattern`` is a regular expression, looked for without regard to case.

    ``may_pass``: True where another try may well succeed; False where every try would end the same
    way until somebody does something; None where it is about one file and says nothing of the
    others, so that rclone's exit code decides. ``told``: of one that may pass, what is said while
    the next try is waited for, with ``{storage}`` for the name of the storage.
    """

    pattern: str
    sentence: str
    may_pass: bool | None = False
    told: str = ""
