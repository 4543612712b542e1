"""Entries of the audit log as lines of a file, a few at a time, so that a long log needs no more
memory than a short one."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator

from portal.models import AuditEntry
from portal.rendering import printable

COLUMNS = (
    "id",
    "at",
    "actor_id",
    "actor",
    "action",
    "target",
    "detail",
    "outcome",
    "address",
    "hash",
)
#: With these a spreadsheet begins a formula; it also reads the full-width ones.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

Writer = Callable[[list[AuditEntry]], str]


def as_json(entries: list[AuditEntry]) -> str:
    """One object a line."""
    return "".join(
        json.dumps(dict(zip(COLUMNS, _values(entry), strict=True))) + "\n" for entry in entries
    )


def as_csv(entries: list[AuditEntry]) -> str:
    """RFC 4180 lines without the heading."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    for entry in entries:
        writer.writerow([_cell(value) for value in _values(entry)])
    return text.getvalue()


def lines(chunks: Iterable[list[AuditEntry]], write: Writer, heading: str = "") -> Iterator[str]:
    yield heading
    for entries in chunks:
        yield write(entries)
        time.sleep(0)  # the others of this process have their turn


def _values(entry: AuditEntry) -> list[str | int | None]:
    return [
        entry.at.isoformat(timespec="microseconds") if name == "at" else getattr(entry, name)
        for name in COLUMNS
    ]


def _cell(value: str | int | None) -> str:
    """Text that no spreadsheet takes for a formula, and that stays on its line."""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    shown = printable(value)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
