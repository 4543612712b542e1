"""One kind of error: its pattern, the sentence for a person, and whether another try may help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownReason:
    """``pattern``: a regular expression; case does not matter. What its named groups have found
    stands in ``sentence``, between braces.

    ``is_retryable``: True if another try may well succeed; False if every try would fail until
    somebody does something; None if the error is about one file only: then rclone's exit code
    decides.
    ``retry_words``: shown until the next try, with ``{storage}`` for the name of the storage.
    """

    pattern: str
    sentence: str
    is_retryable: bool | None = False
    retry_words: str = ""
