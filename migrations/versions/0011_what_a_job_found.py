"""what a job found, what it left out, and where it writes"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PLACE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
COUNTS = (
    "files_unchanged",
    "files_deleted",
    "links_left_out",
    "specials_left_out",
    "earlier_seconds",
    "unreadable_lines",
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("outcome", sa.String(length=16), nullable=True))
    op.add_column("jobs", sa.Column("compared_by", sa.String(length=16), nullable=True))
    op.add_column("jobs", sa.Column("differences", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("left_out_names", sa.JSON(), nullable=True))
    for name in COUNTS:
        op.add_column("jobs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column(
        "jobs", sa.Column("bytes_arrived", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("jobs", sa.Column("difference_names", sa.JSON(), nullable=True))
    op.create_index(
        "ix_jobs_outcome_history",
        "jobs",
        ["outcome", "finished_at", "id"],
        sqlite_where=sa.text("outcome IS NOT NULL"),
        postgresql_where=sa.text("outcome IS NOT NULL"),
    )
    for side in ("source", "destination"):
        op.add_column("jobs", sa.Column(f"{side}_key", sa.Text(), nullable=True))
    op.add_column(
        "jobs", sa.Column("storage_silent_since", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("jobs", sa.Column("trouble", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True))
    some = sa.text("unreadable_lines > 0")
    op.create_index(
        "ix_jobs_unreadable_lines",
        "jobs",
        ["unreadable_lines"],
        sqlite_where=some,
        postgresql_where=some,
    )

    op.create_table(
        "job_places",
        sa.Column("key", PLACE, nullable=False),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_places_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", "job_id", name=op.f("pk_job_places")),
    )
    op.create_index("ix_job_places_job_id", "job_places", ["job_id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_unreadable_lines", "jobs")
    op.drop_table("job_places")
    op.drop_index("ix_jobs_outcome_history", "jobs")
    for name in ("next_try_at", "trouble", "storage_silent_since"):
        op.drop_column("jobs", name)
    for side in ("source", "destination"):
        op.drop_column("jobs", f"{side}_key")
    for name in COUNTS:
        op.drop_column("jobs", name)
    op.drop_column("jobs", "bytes_arrived")
    for name in ("difference_names", "left_out_names", "differences", "compared_by", "outcome"):
        op.drop_column("jobs", name)
