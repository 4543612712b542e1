"""What rclone said while it ran a job, and how fast it was: bounded, and removed when it is old."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.session import Base, UtcDateTime
from portal.models.job import BigId


class JobLog(Base):
    """The log of one job as a whole; its lines are in ``JobLogChunk``. Lines are numbered from 1 on
    over all attempts, those that were not kept too."""

    __tablename__ = "job_logs"

    job_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    #: The attempt that writes; a worker of an older one changes nothing any more.
    attempt: Mapped[int]
    #: The number of the last line.
    lines: Mapped[int] = mapped_column(BigInteger, default=0)
    kept_lines: Mapped[int] = mapped_column(default=0)
    #: Of the chunks, as they are stored.
    kept_bytes: Mapped[int] = mapped_column(default=0)
    #: The last line of the part that stays however long the log gets; none while that still grows.
    head_end: Mapped[int | None] = mapped_column(BigInteger)
    errors: Mapped[int] = mapped_column(default=0)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobLogChunk(Base):
    """Consecutive lines, compressed together."""

    __tablename__ = "job_log_chunks"

    job_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    first_line: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    lines: Mapped[int]
    #: The levels that occur, a bit each, so that a search for errors opens no other chunk.
    levels: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class JobSpeed(Base):
    """The speed of a job's last attempt: ``points`` are the average of each ``step`` seconds from
    ``started_at`` on, in bytes a second, null where nothing was heard."""

    __tablename__ = "job_speeds"

    job_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    attempt: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    step: Mapped[int]
    points: Mapped[list[int | None]] = mapped_column(JSON, default=list)
    peak: Mapped[int] = mapped_column(BigInteger, default=0)
