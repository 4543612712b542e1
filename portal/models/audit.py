from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime
from portal.models.job import BigId


class AuditEntry(Base):
    """Who did what, to what, when, from where, and how it ended. Only ever added to: triggers of
    the database refuse every change, and a removal of what ``AuditChain`` does not say is cut."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    # No foreign key: what an entry says stays, whatever becomes of the user.
    actor_id: Mapped[int | None]
    actor: Mapped[str] = mapped_column(String(64), default="")
    action: Mapped[str] = mapped_column(String(64), index=True)
    target: Mapped[str] = mapped_column(String(128), default="")
    detail: Mapped[str] = mapped_column(Text, default="")
    outcome: Mapped[str] = mapped_column(String(16), default="ok")
    address: Mapped[str] = mapped_column(String(64), default="")
    #: SHA-256 of the hash before it and of all of the above.
    hash: Mapped[str] = mapped_column(String(64))


class AuditChain(Base):
    """One row: where the chain of hashes begins and ends. Whoever adds an entry holds its lock."""

    __tablename__ = "audit_chain"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_id: Mapped[int] = mapped_column(BigId)
    last_hash: Mapped[str] = mapped_column(String(64))
    #: Entries up to this one were cut off as too old; the hash of the last of them.
    cut_id: Mapped[int] = mapped_column(BigId)
    cut_hash: Mapped[str] = mapped_column(String(64))
