"""Totals of the jobs that ended, added to in the transaction that ends a job: what a long history
adds up to is read from few rows."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.session import Base, UtcDateTime


class Span(StrEnum):
    """How much time a row sums up. Every day of every time zone begins at a quarter of an hour."""

    QUARTER = "quarter"
    DAY = "day"
    MONTH = "month"


class HistoryTotal(Base):
    """What ended within one span (UTC), for each mix of what the history can be filtered by."""

    __tablename__ = "history_totals"
    __table_args__ = ({"sqlite_with_rowid": False},)

    span: Mapped[Span] = mapped_column(String(8), primary_key=True)
    start: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    #: One of ``states.ENDINGS``, or ``services.jobs.totals.DIFFERENT``.
    status: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner_id: Mapped[int] = mapped_column(primary_key=True)
    #: 0: a local folder.
    source_remote_id: Mapped[int] = mapped_column(primary_key=True)
    destination_remote_id: Mapped[int] = mapped_column(primary_key=True)

    jobs: Mapped[int]
    bytes_moved: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[int] = mapped_column(BigInteger)
