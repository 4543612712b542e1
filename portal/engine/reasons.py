"""One kind of error: its pattern, the sentence for a person, and whether another try may help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """``pattern``: a regular expression; case does not matter.

    ``may_pass``: True if another try may well succeed; False if every try would fail until somebody
    does something; None if the error is about one file only: then rclone's exit code decides.
    ``told``: the words while the next try is waited for, with ``{storage}`` for the storage's name.
    """

    pattern: str
    sentence: str
    may_pass: bool | None = False
    told: str = ""
