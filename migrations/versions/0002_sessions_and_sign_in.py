"""rotation of tokens, limits of signing in, links that set a password"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROTATION = {
    "rotation_due_at": sa.DateTime(timezone=True),
    "previous_hash": sa.String(length=64),
    "previous_until": sa.DateTime(timezone=True),
    "rotated_at": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    for name, kind in _ROTATION.items():
        op.add_column("sessions", sa.Column(name, kind, nullable=True))
    op.create_index("ix_sessions_previous_hash", "sessions", ["previous_hash"], unique=True)
    op.add_column("users", sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "sign_in_limits",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.Double(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_limits")),
    )
    op.create_index("ix_sign_in_limits_counted_at", "sign_in_limits", ["counted_at"])
    op.create_table(
        "known_addresses",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_known_addresses_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "address", name=op.f("pk_known_addresses")),
    )
    op.create_table(
        "password_links",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_password_links_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_password_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_password_links_token_hash")),
    )


def downgrade() -> None:
    for table in ("password_links", "known_addresses", "sign_in_limits"):
        op.drop_table(table)
    op.drop_column("users", "last_sign_in_at")
    op.drop_index("ix_sessions_previous_hash", "sessions")
    for name in _ROTATION:
        op.drop_column("sessions", name)
