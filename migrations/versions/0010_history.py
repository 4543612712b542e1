"""totals of the jobs that ended, and indexes of them in their order"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_ENDED = sa.text("finished_at IS NOT NULL")
_HISTORY = {
    "ix_jobs_history": ["finished_at", "id"],
    "ix_jobs_history_status": ["status", "finished_at", "id"],
}
_COLUMNS = ("owner_id", "source_remote_id", "destination_remote_id")
_BEFORE = ["finished_at", "id", "status", "owner_id", "bytes_transferred", "files_transferred"]
_KEYS = ("span", "start", "status", "owner_id", "source_remote_id", "destination_remote_id")
_FIGURES = ("jobs", "bytes_moved", "files", "seconds")
_SILENCE = timedelta(minutes=2)
_AT_ONCE = 1_000


def upgrade() -> None:
    table = op.create_table(
        "history_totals",
        sa.Column("span", sa.String(length=8), nullable=False),
        sa.Column("start", _MOMENT, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("owner_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_remote_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("destination_remote_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("bytes_moved", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*_KEYS, name=op.f("pk_history_totals")),
        sqlite_with_rowid=False,
    )
    op.drop_index("ix_jobs_history", table_name="jobs")
    for name, columns in _HISTORY.items():
        _create_partial(name, columns)
    for column in _COLUMNS:
        op.drop_index(f"ix_jobs_{column}", table_name="jobs")
        op.create_index(f"ix_jobs_{column}_history", "jobs", [column, "finished_at", "id"])
    rows = _totals(op.get_bind())
    for first in range(0, len(rows), _AT_ONCE):
        op.bulk_insert(table, rows[first : first + _AT_ONCE])


def downgrade() -> None:
    for column in _COLUMNS:
        op.drop_index(f"ix_jobs_{column}_history", table_name="jobs")
        op.create_index(f"ix_jobs_{column}", "jobs", [column])
    for name in _HISTORY:
        op.drop_index(name, table_name="jobs")
    _create_partial("ix_jobs_history", _BEFORE)
    op.drop_table("history_totals")


def _create_partial(name: str, columns: list[str]) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=_ENDED, postgresql_where=_ENDED)


def _totals(connection: sa.Connection) -> list[dict[str, Any]]:
    """What the jobs that have ended so far add up to; read a thousand at a time."""
    jobs = sa.table(
        "jobs",
        sa.column("id", _BIG),
        *(sa.column(name, _MOMENT) for name in ("started_at", "heartbeat_at", "finished_at")),
        *(sa.column(name) for name in ("status", *_COLUMNS)),
        *(sa.column(name, sa.BigInteger()) for name in ("bytes_transferred", "files_transferred")),
    )
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    last = 0
    query = sa.select(jobs).where(jobs.c.finished_at.is_not(None)).order_by(jobs.c.id)
    while rows := connection.execute(query.where(jobs.c.id > last).limit(_AT_ONCE)).all():
        for row in rows:
            _add(sums, row)
        last = rows[-1].id
    return [
        dict(zip(_KEYS, key, strict=True)) | {name: figures[name] for name in _FIGURES}
        for key, figures in sums.items()
    ]


def _add(sums: dict[tuple[Any, ...], Counter[str]], row: Any) -> None:
    ended = _aware(row.finished_at)
    day = ended.replace(hour=0, minute=0, second=0, microsecond=0)
    quarter = ended.replace(minute=ended.minute // 15 * 15, second=0, microsecond=0)
    sides = (row.owner_id, row.source_remote_id or 0, row.destination_remote_id or 0)
    figures = {
        "jobs": 1,
        "bytes_moved": row.bytes_transferred,
        "files": row.files_transferred,
        "seconds": _worked(row, ended),
    }
    for span, start in (("quarter", quarter), ("day", day), ("month", day.replace(day=1))):
        sums.setdefault((span, start, row.status, *sides), Counter()).update(figures)


def _worked(row: Any, ended: datetime) -> int:
    if row.started_at is None:
        return 0
    heard = _aware(row.heartbeat_at) if row.heartbeat_at else ended
    end = heard if ended - heard > _SILENCE else ended
    return max(0, int((end - _aware(row.started_at)).total_seconds()))


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
