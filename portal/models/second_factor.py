from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime


class SecondFactor(Base):
    """The secret that a user's authenticator app and the portal share, proven by a first code."""

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    #: Encrypted: who reads the database alone can make no codes.
    secret: Mapped[str] = mapped_column(String(255))
    enabled_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    #: The time step of the last code that was taken. No code of it or before it counts again.
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)


class RecoveryCode(Base):
    """Stands in for one code of a lost device; its row goes when it is used. Only a hash."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
