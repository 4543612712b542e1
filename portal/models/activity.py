"""Running totals, kept in the transaction that changes a job, so that no figure of the dashboard
costs more as history grows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.session import Base, UtcDateTime
from portal.transfers.states import JobStatus


class JobCount(Base):
    """How many jobs have a status now."""

    __tablename__ = "job_counts"

    status: Mapped[JobStatus] = mapped_column(String(16), primary_key=True)
    jobs: Mapped[int] = mapped_column(default=0)


class ActivityMinute(Base):
    """What happened within one minute (UTC): bytes moved, jobs ended. Old minutes are
    removed."""

    __tablename__ = "activity_minutes"

    minute: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    bytes_moved: Mapped[int] = mapped_column(BigInteger, default=0)
    completed: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
