"""places that jobs read"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job_places") as table:
        table.add_column(
            sa.Column("writes", sa.Boolean(), nullable=False, server_default=sa.true())
        )


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM job_places WHERE NOT writes"))
    with op.batch_alter_table("job_places") as table:
        table.drop_column("writes")
