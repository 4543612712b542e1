"""an entry of the audit log is not replaced by another with its number"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # INSERT OR REPLACE removes a row without the trigger that refuses to delete. PostgreSQL has no
    # such statement; what it does instead is an update.
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            """CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
            WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
            BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END"""
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_replace")
