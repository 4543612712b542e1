"""What a transfer did not take, in words: for pages, logs and notices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def left_out_words(links: int, specials: int, names: Mapping[str, Any] | None) -> str:
    """``4 links, 2 special files``; empty where nothing was left out."""
    told = names or {}
    return ", ".join(
        f"{number:,} {one if number == 1 else several}"
        for number, one, several in (
            (links, "link", "links"),
            (specials, "special file", "special files"),
            (
                int(told.get("names") or 0),
                "name that the destination cannot hold",
                "names that the destination cannot hold",
            ),
            (
                int(told.get("empty_folders") or 0),
                "empty folder, which this storage cannot hold",
                "empty folders, which this storage cannot hold",
            ),
        )
        if number
    )
