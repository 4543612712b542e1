from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime
from portal.models.user import Role


class Remote(Base):
    """A storage elsewhere. Its name never changes: jobs show it."""

    __tablename__ = "remotes"
    # An id is never given out again: a job that waits keeps it.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32), unique=True)
    backend: Mapped[str] = mapped_column(String(32))
    #: By rclone's names; none of them is secret.
    options: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    #: Each encrypted for itself: which are stored may be seen, what they are may not.
    secrets: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    #: The least role that may use it.
    role: Mapped[Role] = mapped_column(String(16), default=Role.OPERATOR)
    #: Where browsing begins and what a test looks at, such as a bucket.
    start: Mapped[str] = mapped_column(Text, default="")
    #: How many of its jobs may run at once; None for no limit.
    max_jobs: Mapped[int | None]
    #: Grows with every change; who saves an older one is told.
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    changed_by: Mapped[str] = mapped_column(String(64), default="")
    tested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    works: Mapped[bool | None]
    verdict: Mapped[str] = mapped_column(Text, default="")

    def may_be_used_by(self, role: Role) -> bool:
        return Role(role).includes(Role(self.role))
