from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime


class SignInLimit(Base):
    """How many tries one account or address has used up, and until when it has to wait."""

    __tablename__ = "sign_in_limits"

    #: SHA-256 of what is limited: anybody may type names, and they are of any length.
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: Tries as of ``counted_at``; they are forgiven one by one as time goes by.
    tries: Mapped[float]
    counted_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class KnownAddress(Base):
    """From here the user has signed in before: an attack from elsewhere does not delay them."""

    __tablename__ = "known_addresses"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
