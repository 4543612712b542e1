"""bandwidth budgets, and the share of each job"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bandwidth_budgets",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("remote_id", sa.Integer(), nullable=True),
        sa.Column("rate", sa.String(64), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_id"],
            ["remotes.id"],
            name="fk_bandwidth_budgets_remote_id_remotes",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_bandwidth_budgets"),
    )
    op.add_column("jobs", sa.Column("allowed_bytes", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("wanted_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "wanted_bytes")
    op.drop_column("jobs", "allowed_bytes")
    op.drop_table("bandwidth_budgets")
