"""Long histories, written at once: jobs that ended, and the totals that belong to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from portal.models import HistoryTotal, Job, Span
from portal.services.jobs.totals import start_of

Row = dict[str, Any]
_AT_ONCE = 5_000


def ended(number: int, finished: datetime, **more: Any) -> Row:
    """A job that took a minute."""
    started = finished - timedelta(minutes=1)
    return {
        "id": number,
        "name": f"Nightly photos {number}",
        "operation": "copy",
        "source": f"/srv/data/photos/{number % 365}",
        "destination": f"/mnt/backup/photos/{number % 365}",
        "source_remote_id": None,
        "destination_remote_id": None,
        "owner_id": 1,
        "status": "completed",
        "created_at": started,
        "queued_at": started,
        "started_at": started,
        "finished_at": finished,
        "bytes_transferred": 4_000_000_000 + number,
        "files_transferred": 1_200,
        "current_files": [],
        "error_lines": [],
    } | more


def write(writing: Session, rows: Sequence[Row]) -> None:
    """Jobs and totals; the caller commits."""
    for first in range(0, len(rows), _AT_ONCE):
        writing.execute(insert(Job), rows[first : first + _AT_ONCE])
    writing.execute(insert(HistoryTotal), totals_of(rows))


def totals_of(rows: Iterable[Row]) -> list[Row]:
    """For an empty history."""
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for row in rows:
        sides = (row["source_remote_id"] or 0, row["destination_remote_id"] or 0)
        took = (row["finished_at"] - row["started_at"]) if row["started_at"] else timedelta(0)
        figures = {
            "jobs": 1,
            "bytes_moved": row["bytes_transferred"],
            "files": row["files_transferred"],
            "seconds": int(took.total_seconds()),
        }
        for span in Span:
            start = start_of(span, row["finished_at"])
            key = (span, start, row["status"], row["owner_id"], *sides)
            sums.setdefault(key, Counter()).update(figures)
    names = ("span", "start", "status", "owner_id", "source_remote_id", "destination_remote_id")
    return [dict(zip(names, key, strict=True)) | dict(sums[key]) for key in sums]
