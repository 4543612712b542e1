from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.session import Base


class KeyFingerprint(Base):
    """One row: tells the secret key of this portal from others, and does not tell the key."""

    __tablename__ = "key_fingerprint"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
