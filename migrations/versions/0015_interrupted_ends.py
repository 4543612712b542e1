"""an interrupted sync or move has ended: when, and the totals with it"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_SIDES = ("owner_id", "source_remote_id", "destination_remote_id")
_KEYS = ("span", "start", "status", *_SIDES)
_FIGURES = ("jobs", "bytes_moved", "files", "seconds")
_STATUS = "interrupted"
_SILENCE = timedelta(minutes=2)
_AT_ONCE = 1_000

_JOBS = sa.table(
    "jobs",
    sa.column("id", _BIG),
    *(
        sa.column(name, _MOMENT)
        for name in ("queued_at", "started_at", "heartbeat_at", "finished_at")
    ),
    *(sa.column(name, sa.String()) for name in ("status", "operation")),
    *(sa.column(name, sa.Integer()) for name in ("earlier_seconds", *_SIDES)),
    *(sa.column(name, sa.BigInteger()) for name in ("bytes_transferred", "files_transferred")),
)
_EVENTS = sa.table(
    "job_events",
    sa.column("job_id", _BIG),
    sa.column("at", _MOMENT),
    sa.column("new_status", sa.String()),
)
_TOTALS = sa.table(
    "history_totals",
    sa.column("start", _MOMENT),
    *(sa.column(name) for name in (*_KEYS, *_FIGURES) if name != "start"),
)


def upgrade() -> None:
    connection = op.get_bind()
    ended = (_JOBS.c.status == _STATUS, _JOBS.c.operation.in_(("sync", "move")))
    interrupted_at = (
        sa.select(sa.func.max(_EVENTS.c.at))
        .where(_EVENTS.c.job_id == _JOBS.c.id, _EVENTS.c.new_status == _STATUS)
        .scalar_subquery()
    )
    last_known = (_JOBS.c.heartbeat_at, _JOBS.c.started_at, _JOBS.c.queued_at)
    connection.execute(
        sa.update(_JOBS)
        .where(*ended, _JOBS.c.finished_at.is_(None))
        .values(finished_at=sa.func.coalesce(interrupted_at, *last_known))
    )
    rows = _totals(connection.execute(sa.select(_JOBS).where(*ended)))
    for first in range(0, len(rows), _AT_ONCE):
        op.bulk_insert(_TOTALS, rows[first : first + _AT_ONCE])


def downgrade() -> None:
    connection = op.get_bind()
    connection.execute(sa.delete(_TOTALS).where(_TOTALS.c.status == _STATUS))
    connection.execute(sa.update(_JOBS).where(_JOBS.c.status == _STATUS).values(finished_at=None))


def _totals(jobs: Any) -> list[dict[str, Any]]:
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for job in jobs:
        _add(sums, job)
    return [
        dict(zip(_KEYS, key, strict=True)) | {name: figures[name] for name in _FIGURES}
        for key, figures in sums.items()
    ]


def _add(sums: dict[tuple[Any, ...], Counter[str]], job: Any) -> None:
    ended = _aware(job.finished_at)
    day = ended.replace(hour=0, minute=0, second=0, microsecond=0)
    quarter = ended.replace(minute=ended.minute // 15 * 15, second=0, microsecond=0)
    sides = (job.owner_id, job.source_remote_id or 0, job.destination_remote_id or 0)
    figures = {
        "jobs": 1,
        "bytes_moved": job.bytes_transferred,
        "files": job.files_transferred,
        "seconds": _worked(job, ended),
    }
    for span, start in (("quarter", quarter), ("day", day), ("month", day.replace(day=1))):
        sums.setdefault((span, start, _STATUS, *sides), Counter()).update(figures)


def _worked(job: Any, ended: datetime) -> int:
    if job.started_at is None:
        return 0
    heard = _aware(job.heartbeat_at) if job.heartbeat_at else ended
    end = heard if ended - heard > _SILENCE else ended
    last = max(0, int((end - _aware(job.started_at)).total_seconds()))
    return int(job.earlier_seconds) + last


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
