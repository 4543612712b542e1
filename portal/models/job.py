from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.db.clock import now
from portal.db.session import Base, UtcDateTime
from portal.models.user import User
from portal.transfers.states import JobStatus, Operation

#: SQLite numbers rows by itself only in a column declared INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")
LARGEST_BIG_ID = 2**63 - 1

#: Heartbeats come far more often; after this silence the worker was gone.
_SILENCE = timedelta(minutes=2)


class Job(Base):
    """One execution of one transfer; a retry is a new row that points back to this one."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_status_id", "status", "id"),
        # The history in its order: of all jobs that ended, and of those that share what it is
        # filtered by. No column that grows while a job runs is in any index: on PostgreSQL,
        # otherwise each report would write to all of them.
        *(
            Index(
                name,
                *columns,
                sqlite_where=text("finished_at IS NOT NULL"),
                postgresql_where=text("finished_at IS NOT NULL"),
            )
            for name, columns in {
                "ix_jobs_history": ("finished_at", "id"),
                "ix_jobs_history_status": ("status", "finished_at", "id"),
            }.items()
        ),
        # Hardly a job is in it.
        Index(
            "ix_jobs_unreadable_lines",
            "unreadable_lines",
            sqlite_where=text("unreadable_lines > 0"),
            postgresql_where=text("unreadable_lines > 0"),
        ),
        *(
            Index(f"ix_jobs_{column}_history", column, "finished_at", "id")
            for column in ("owner_id", "source_remote_id", "destination_remote_id")
        ),
        Index(
            "ix_jobs_outcome_history",
            *("outcome", "finished_at", "id"),
            sqlite_where=text("outcome IS NOT NULL"),
            postgresql_where=text("outcome IS NOT NULL"),
        ),
        # The queue in its order, see ``services.jobs.scheduler``.
        Index(
            "ix_jobs_queue",
            *("pool", "priority", "owner_id", "first_try_id", "id"),
            sqlite_where=text("status = 'queued'"),
            postgresql_where=text("status = 'queued'"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    operation: Mapped[Operation] = mapped_column(String(8))
    source: Mapped[str] = mapped_column(Text)
    destination: Mapped[str] = mapped_column(Text)
    #: The remote of a side that is ``remote-name:path``. No foreign key: what a job says stays,
    #: whatever becomes of the remote.
    source_remote_id: Mapped[int | None]
    destination_remote_id: Mapped[int | None]
    #: One rate or a timetable, see ``timetable``; changed while it runs.
    bandwidth_limit: Mapped[str | None] = mapped_column(String(64))
    #: Bytes a second that bandwidth budgets leave it while it runs, and the most that it can use;
    #: None: no limit. Its worker writes both.
    allowed_bytes: Mapped[int | None] = mapped_column(BigInteger)
    wanted_bytes: Mapped[int | None] = mapped_column(BigInteger)
    dry_run: Mapped[bool] = mapped_column(default=False)
    #: See ``options.from_json``.
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")
    #: The plan: what a dry run found, or what was shown before this job was confirmed.
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    #: The dry run whose plan a person confirmed, and that this job must not go beyond.
    confirms_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    retry_of_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    #: The first job of a chain of retries, or the job itself: who waited for that one, waits for
    #: its retry. None for a job that an older release ended.
    first_try_id: Mapped[int | None] = mapped_column(BigInteger)

    status: Mapped[JobStatus] = mapped_column(String(16), default=JobStatus.QUEUED)
    #: −1, 0 or 1; the highest runs first.
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: Grows with every claim; a worker whose number is no longer the row's has lost the job.
    attempt: Mapped[int] = mapped_column(default=0)
    #: How often a worker died under it.
    interruptions: Mapped[int] = mapped_column(default=0)
    #: Grows with every event, in the UPDATE that makes it.
    seq: Mapped[int] = mapped_column(BigInteger, default=1)

    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    queued_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    #: Start of the newest attempt.
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Seconds that the attempts before it have worked.
    earlier_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Name of the pool whose workers alone may run it; none: the pool of all the others.
    pool: Mapped[str | None] = mapped_column(String(64))
    worker: Mapped[str | None] = mapped_column(String(128))
    #: Row of that worker, where it has one. No foreign key: rows of workers go, jobs stay.
    worker_id: Mapped[int | None] = mapped_column(BigInteger)
    #: Written by workers of older releases alone, under an older name.
    notified_at: Mapped[datetime | None] = mapped_column("rung_at", UtcDateTime)
    #: When a person paused it, in whatever status; its worker obeys.
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Since when a running job has no slot, because it was paused for long; a resumed one gets the
    #: next that is free.
    slot_released_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    #: Why it failed, for a person; rclone's own last words; its exit code.
    error: Mapped[str | None] = mapped_column(Text)
    error_lines: Mapped[list[str]] = mapped_column(JSON, default=list)
    exit_code: Mapped[int | None]

    phase: Mapped[str | None] = mapped_column(String(16))
    #: Totals of all attempts, as all figures are; a byte that is sent again counts once.
    bytes_transferred: Mapped[int] = mapped_column(BigInteger, default=0)
    #: Those of them in files that have arrived whole, which no later attempt sends again.
    bytes_arrived: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    total_bytes: Mapped[int | None] = mapped_column(BigInteger)
    percent: Mapped[float | None]
    speed_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    eta_seconds: Mapped[int | None] = mapped_column(BigInteger)
    files_transferred: Mapped[int] = mapped_column(default=0)
    files_total: Mapped[int] = mapped_column(default=0)
    files_listed: Mapped[int] = mapped_column(default=0)
    current_files: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    progress_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Files that were equal on both sides, and files that were deleted.
    files_unchanged: Mapped[int] = mapped_column(default=0, server_default="0")
    files_deleted: Mapped[int] = mapped_column(default=0, server_default="0")

    #: The result of a completed check: "equal" or "different"; None for other jobs.
    outcome: Mapped[str | None] = mapped_column(String(16))
    #: How two files were judged equal: hash, size_and_time, size_and_second, size or bytes.
    compared_by: Mapped[str | None] = mapped_column(String(16))
    #: Result of a check, or of a comparison after a copy: how many files differ in which way,
    #: and the first few names; and more of the names, which no list of jobs has to load.
    differences: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    difference_names: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True), deferred=True
    )
    #: Numbers of links, and of devices, FIFOs and sockets, which are not copied; and names of
    #: files that the storage cannot hold, that were compared by size alone, or that are not whole
    #: and may remain.
    links_left_out: Mapped[int] = mapped_column(default=0, server_default="0")
    specials_left_out: Mapped[int] = mapped_column(default=0, server_default="0")
    left_out_names: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    #: Lines of rclone's log that its last attempt could not read.
    unreadable_lines: Mapped[int] = mapped_column(default=0, server_default="0")
    #: Where source and destination are, whatever they are called: two texts of which one begins
    #: with the other are places that overlap. None for a job that was made by an older release.
    source_key: Mapped[str | None] = mapped_column(Text)
    destination_key: Mapped[str | None] = mapped_column(Text)
    #: The job that was to fill the source of this one and did not: a part was taken for all.
    unfilled_source_id: Mapped[int | None] = mapped_column(BigInteger)
    #: Start of a silence of a running job's storage, while it lasts.
    storage_silent_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The obstacle of a running job, in words for a person; when the next try begins.
    trouble: Mapped[str | None] = mapped_column(Text)
    next_try_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    owner: Mapped[User] = relationship(foreign_keys=owner_id, lazy="joined", innerjoin=True)

    @property
    def seconds(self) -> int | None:
        """Seconds of all attempts."""
        return all_run_seconds(
            self.earlier_seconds, self.started_at, self.heartbeat_at, self.finished_at
        )


def run_seconds(
    started: datetime | None, last_heartbeat: datetime | None, finished: datetime | None
) -> int | None:
    """Seconds from the start to the end, for what is over. One whose worker died, or gave it back,
    and that was cancelled long after, worked until it was ``last_heartbeat`` of last."""
    if started is None or finished is None:
        return None
    end = last_heartbeat if last_heartbeat and finished - last_heartbeat > _SILENCE else finished
    return max(0, int((end - started).total_seconds()))


def all_run_seconds(
    earlier: int,
    started: datetime | None,
    last_heartbeat: datetime | None,
    finished: datetime | None,
) -> int | None:
    """As ``run_seconds``, with the attempts before."""
    last = run_seconds(started, last_heartbeat, finished)
    return None if last is None else earlier + last


class JobPlace(Base):
    """A place that an open job writes to or reads, see ``services.jobs.blocking``; gone when the
    job ends."""

    __tablename__ = "job_places"
    __table_args__ = (Index("ix_job_places_job_id", "job_id"),)

    #: Compared byte by byte, so that all that lies below a place stands together in the index.
    key: Mapped[str] = mapped_column(
        Text().with_variant(Text(collation="C"), "postgresql"), primary_key=True
    )
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    #: Whether the job writes there.
    writes: Mapped[bool] = mapped_column(default=True, server_default=true())
    #: Whether what is there may be deleted or written over. An older release does not say.
    replaces: Mapped[bool] = mapped_column(default=True, server_default=true())


class JobEvent(Base):
    """One change of status, written in the transaction that made it."""

    __tablename__ = "job_events"
    __table_args__ = (Index("ix_job_events_job_id_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    seq: Mapped[int] = mapped_column(BigInteger)
    old_status: Mapped[JobStatus | None] = mapped_column(String(16))
    new_status: Mapped[JobStatus] = mapped_column(String(16))
    #: The person behind it; none where the worker or the portal itself acted.
    actor: Mapped[str] = mapped_column(String(64), default="")
    note: Mapped[str] = mapped_column(Text, default="")

    job: Mapped[Job] = relationship(lazy="joined", innerjoin=True)
