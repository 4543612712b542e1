from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime
from portal.models.user import User


class LoginSession(Base):
    """A signed-in browser. The cookie holds a random token, this row only its SHA-256."""

    __tablename__ = "sessions"
    # An id is never given out again: rooms are named after it.
    __table_args__ = (
        Index("ix_sessions_previous_hash", "previous_hash", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    address: Mapped[str] = mapped_column(String(64), default="")
    user_agent: Mapped[str] = mapped_column(String(255), default="")
    remember: Mapped[bool] = mapped_column(default=False)
    #: More than a password began it: a code as well, or a provider that vouches for as much.
    second_step: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: The rights of the user changed: the next page hands out another token.
    rotation_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The token before the present one, good until ``previous_until``; without one until the
    #: present token is seen, because the answer that brought it may have been lost.
    previous_hash: Mapped[str | None] = mapped_column(String(64))
    previous_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    rotated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    #: Secrets for the next page, encrypted; see ``services.accounts.shown_once``.
    shown_once: Mapped[str | None] = mapped_column(Text)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)
