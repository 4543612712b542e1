from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return tuple(Role).index(self)

    def includes(self, other: Role) -> bool:
        return self.rank >= other.rank


class User(Base):
    __tablename__ = "users"
    __allow_unmapped__ = True  # what ``access`` sets below is no column

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    #: Empty until an invited user has chosen a password.
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[Role] = mapped_column(String(16))
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_sign_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    settings: Mapped[UserSettings] = relationship(
        back_populates="user", lazy="joined", innerjoin=True, cascade="all, delete-orphan"
    )

    #: The login session this user was loaded by; set by ``access``, never stored.
    session_id: int | None = None
    #: Flask-Login keeps this in the cookie: the session's token, not the user's id.
    token: str = ""
    #: The API token this user was loaded by, and what that token allows at most.
    api_token_id: int | None = None
    ceiling: Role | None = None

    # What Flask-Login asks a user. Its own class for that would bring Flask into every worker.

    @property
    def is_authenticated(self) -> bool:
        return self.active

    @property
    def is_anonymous(self) -> bool:
        return False

    @property
    def is_active(self) -> bool:
        return self.active

    def get_id(self) -> str:
        return self.token

    @property
    def effective_role(self) -> Role:
        """The user's role, or less where an API token allows less."""
        role = Role(self.role)
        return role if self.ceiling is None or self.ceiling.includes(role) else self.ceiling

    def may(self, role: Role) -> bool:
        return self.effective_role.includes(role)


class UserSettings(Base):
    """One row a user, made with the user."""

    __tablename__ = "user_settings"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    refresh_interval: Mapped[int] = mapped_column(default=2)
    theme: Mapped[str] = mapped_column(String(8), default="auto")
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    notifications: Mapped[str] = mapped_column(String(8), default="off")

    user: Mapped[User] = relationship(back_populates="settings")


class PasswordLink(Base):
    """An invitation or a reset: a link that sets the user's password once. The latest one counts.

    The link holds a random token, this row only its SHA-256.
    """

    __tablename__ = "password_links"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
