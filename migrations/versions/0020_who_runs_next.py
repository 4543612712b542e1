"""priorities, slots of paused jobs, limits of remotes, the queue in its order"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_QUEUED = sa.text("status = 'queued'")


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("priority", sa.SmallInteger(), nullable=False, server_default="0")
    )
    op.add_column("jobs", sa.Column("slot_released_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("remotes", sa.Column("max_jobs", sa.Integer(), nullable=True))
    # The index sorts by it. Jobs that are over are not in the index.
    op.execute(
        "UPDATE jobs SET first_try_id = id WHERE first_try_id IS NULL AND finished_at IS NULL"
    )
    op.create_index(
        "ix_jobs_queue",
        "jobs",
        ["pool", "priority", "owner_id", "first_try_id", "id"],
        sqlite_where=_QUEUED,
        postgresql_where=_QUEUED,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_queue", "jobs")
    op.drop_column("remotes", "max_jobs")
    op.drop_column("jobs", "slot_released_at")
    op.drop_column("jobs", "priority")
