from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db.session import Base, UtcDateTime
from portal.models.job import BigId


class WorkerProcess(Base):
    """One worker process of the scale-out mode, from its start to its end; times are the
    database's."""

    __tablename__ = "workers"
    __table_args__ = (
        Index("ix_workers_stopped_at_heartbeat_at", "stopped_at", "heartbeat_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    #: What people call it: host and process id.
    name: Mapped[str] = mapped_column(String(128))
    host: Mapped[str] = mapped_column(String(128))
    pid: Mapped[int]
    #: The kernel's boot and the namespace that the process id belongs to, and the process with
    #: its start time: by both together a successor knows for certain that it is dead.
    machine: Mapped[str] = mapped_column(String(128))
    process: Mapped[str] = mapped_column(String(64))
    #: Names, one at least.
    pools: Mapped[list[str]] = mapped_column(JSON, default=list)
    version: Mapped[str] = mapped_column(String(32))
    concurrency: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    draining_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: A sentence for each folder open to transfers that is not there on its machine.
    root_problems: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
