"""an audit log that is only ever added to: a chain of hashes, and triggers that hold it"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BEGINNING = "0" * 64
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_SQLITE = (
    """CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    WHEN OLD.id > (SELECT cut_id FROM audit_chain)
    BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END""",
)
_POSTGRESQL = (
    """CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit log is only ever added to'; END $$""",
    """CREATE FUNCTION audit_cut() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF OLD.id > (SELECT cut_id FROM audit_chain) THEN
        RAISE EXCEPTION 'the audit log is only ever added to';
      END IF;
      RETURN OLD;
    END $$""",
    """CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_cut()""",
    """CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
)


def upgrade() -> None:
    with op.batch_alter_table("audit") as table:
        table.drop_constraint("fk_audit_actor_id_users", type_="foreignkey")
        table.alter_column("id", existing_type=sa.Integer(), type_=_BIG)
        table.add_column(sa.Column("hash", sa.String(64), nullable=False, server_default=""))
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_id", _BIG, nullable=False),
        sa.Column("last_hash", sa.String(length=64), nullable=False),
        sa.Column("cut_id", _BIG, nullable=False),
        sa.Column("cut_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_chain")),
    )
    _chain_what_is_there()
    with op.batch_alter_table("audit") as table:
        table.alter_column("hash", existing_type=sa.String(64), server_default=None)
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE if sqlite else _POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for name in ("audit_no_update", "audit_no_delete", *(() if sqlite else ("audit_no_truncate",))):
        op.execute(f"DROP TRIGGER {name}" + ("" if sqlite else " ON audit"))
    if not sqlite:
        op.execute("DROP FUNCTION audit_refuse")
        op.execute("DROP FUNCTION audit_cut")
    op.drop_table("audit_chain")
    with op.batch_alter_table("audit") as table:
        table.drop_column("hash")
        table.alter_column("id", existing_type=_BIG, type_=sa.Integer())
        table.create_foreign_key(
            "fk_audit_actor_id_users", "users", ["actor_id"], ["id"], ondelete="SET NULL"
        )


def _chain_what_is_there() -> None:
    """Entries from before are taken as they stand; from here on a change of them is found."""
    bind = op.get_bind()
    last_id, last_hash = 0, _BEGINNING
    chunk = sa.text(
        "SELECT id, at, actor_id, actor, action, target, detail, outcome, address "
        "FROM audit WHERE id > :after ORDER BY id LIMIT 1000"
    ).columns(at=sa.DateTime(timezone=True))
    change = sa.text("UPDATE audit SET hash = :hash WHERE id = :id")
    while rows := bind.execute(chunk, {"after": last_id}).all():
        for row in rows:
            last_id, last_hash = row.id, _hash(last_hash, row)
            bind.execute(change, {"hash": last_hash, "id": row.id})
    bind.execute(
        sa.text("INSERT INTO audit_chain VALUES (1, :last_id, :last_hash, 0, :beginning)"),
        {"last_id": last_id, "last_hash": last_hash, "beginning": _BEGINNING},
    )


def _hash(before: str, row: Any) -> str:
    at: datetime = row.at if row.at.tzinfo else row.at.replace(tzinfo=UTC)
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    content = [before, row.id, moment, *row[2:]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
