"""places where jobs replace what others read; sources that were not filled; first tries"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job_places") as table:
        table.add_column(
            sa.Column("replaces", sa.Boolean(), nullable=False, server_default=sa.true())
        )
    op.add_column("jobs", sa.Column("unfilled_source_id", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("first_try_id", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "first_try_id")
    op.drop_column("jobs", "unfilled_source_id")
    with op.batch_alter_table("job_places") as table:
        table.drop_column("replaces")
