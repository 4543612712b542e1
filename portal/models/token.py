from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime
from portal.models.job import BigId
from portal.models.user import Role, User


class Scope(StrEnum):
    """What a token may do at most; its user's role limits it further."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    @property
    def role(self) -> Role:
        return tuple(Role)[tuple(Scope).index(self)]


class ApiToken(Base):
    """A program's key. The program holds a random text, this row only its SHA-256."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    scope: Mapped[Scope] = mapped_column(String(8))
    #: How the text ends, so that its owner can tell one token from another.
    hint: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)

    @property
    def expired(self) -> bool:
        return self.expires_at <= now()


class IdempotencyKey(Base):
    """Links a user's key with the job that was created under it. Asking again creates no other."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: SHA-256 of what was asked for: the same key with another request is a mistake.
    body_hash: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[int] = mapped_column(BigId, ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
