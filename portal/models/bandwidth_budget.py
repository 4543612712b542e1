from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime

#: The id of the budget of the whole portal; remotes count from 1.
OF_PORTAL = 0


class BandwidthBudget(Base):
    """What all running jobs together may move: all of the portal, or those that use one remote.
    Without a row there is no such limit."""

    __tablename__ = "bandwidth_budgets"

    #: ``OF_PORTAL``, or the id of the remote.
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    #: The same id, so that a budget goes with its remote.
    remote_id: Mapped[int | None] = mapped_column(ForeignKey("remotes.id", ondelete="CASCADE"))
    #: One rate or a timetable, as the bandwidth limit of a job.
    rate: Mapped[str] = mapped_column(String(64))
    #: Zone of the clock of a timetable.
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    changed_by: Mapped[str] = mapped_column(String(64), default="")
