"""workers of the scale-out mode, and the pools that jobs name"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NEW = {
    "pool": sa.String(length=64),
    "worker_id": sa.BigInteger(),
    "rung_at": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("host", sa.String(length=128), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("machine", sa.String(length=128), nullable=False),
        sa.Column("process", sa.String(length=64), nullable=False),
        sa.Column("pools", sa.JSON(), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("draining_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_workers_stopped_at_heartbeat_at", "workers", ["stopped_at", "heartbeat_at"])
    # One by one, without a copy of the table: it may hold a long history.
    for name, kind in _NEW.items():
        op.add_column("jobs", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name in _NEW:
        op.drop_column("jobs", name)
    op.drop_index("ix_workers_stopped_at_heartbeat_at", table_name="workers")
    op.drop_table("workers")
