"""How the files of a job were compared: for programs, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.transfers.counted import counted

#: How a row calls what a storage that keeps whole seconds allows, see ``engine.order.comparison``.
_TO_THE_SECOND = "size_and_second"
_WORDS = {
    "hash": "checksum",
    "size_and_time": "size and time",
    _TO_THE_SECOND: "size and time to the second",
    "size": "size only",
    "bytes": "every byte",
}


def in_short(by: str | None) -> str | None:
    """``hash``, ``size_and_time``, ``size`` or ``bytes``."""
    return "size_and_time" if by == _TO_THE_SECOND else by


def precision(by: str | None) -> int | None:
    """Seconds within which two times count as one, where that is not next to nothing."""
    return 1 if by == _TO_THE_SECOND else None


def compared_words(by: str | None, asked: str, names: Mapping[str, Any] | None) -> str:
    """``checksum; 1 file that has none at the storage by size alone: a.txt``. ``asked``: the words
    while the method is unknown. ``names``: as in ``models.Job.left_out_names``."""
    words = _WORDS.get(by or "", asked)
    left_out = names or {}
    number = int(left_out.get("by_size") or 0)
    if not number:
        return words
    first = left_out.get("first_by_size") or []
    have = counted(number, "file that has none", "files that have none")
    more = ", …" if number > len(first) else ""
    return f"{words}; {have} at the storage by size alone: {', '.join(first)}{more}"
