"""options of a job, the plan of what it would delete, and whether it stands still"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # One by one, without a copy of the table: it may hold a long history.
    op.add_column("jobs", sa.Column("options", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("jobs", sa.Column("plan", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("confirms_id", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_jobs_confirms_id", "jobs", ["confirms_id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_confirms_id", table_name="jobs")
    for name in ("paused_at", "confirms_id", "plan", "options"):
        op.drop_column("jobs", name)
