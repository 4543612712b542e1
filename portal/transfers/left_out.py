"""Words for what a transfer left out: for pages, logs and notices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.transfers.counted import counted

_SHOWN = 10


def remaining_words(names: Mapping[str, Any] | None) -> str:
    """Words for incomplete files that may be at the destination; empty if there are none."""
    remaining = list((names or {}).get("may_remain") or ())
    if not remaining:
        return ""
    more = ", …" if len(remaining) > _SHOWN else ""
    return (
        f"{', '.join(remaining[:_SHOWN])}{more} may remain at the destination. A retry of this job "
        "removes them or writes them anew."
    )


def left_out_words(links: int, specials: int, names: Mapping[str, Any] | None) -> str:
    """``4 links, 2 special files``; empty where nothing was left out."""
    left_out = names or {}
    return ", ".join(
        counted(number, one, several)
        for number, one, several in (
            (links, "link", "links"),
            (specials, "special file", "special files"),
            (
                int(left_out.get("names") or 0),
                "name that the destination cannot hold",
                "names that the destination cannot hold",
            ),
            (
                int(left_out.get("empty_folders") or 0),
                "empty folder, which this storage cannot hold",
                "empty folders, which this storage cannot hold",
            ),
            (
                int(left_out.get("partials") or 0),
                "file that is named like an incomplete one of the portal's",
                "files that are named like incomplete ones of the portal's",
            ),
        )
        if number
    )
