"""secrets that a page is to show once, with the session of who asked for them"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("shown_once", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "shown_once")
