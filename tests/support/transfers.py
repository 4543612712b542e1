"""What the tests of jobs share: rows, readings, events as they leave, files and processes."""

from __future__ import annotations

import os
import random
import sqlite3
import textwrap
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from socketio import Manager
from sqlalchemy import NullPool, create_engine, func, select, update

from portal.db.session import database_time, read_connection, session, write
from portal.engine import Phase, Progress
from portal.models import ActivityMinute, HistoryTotal, Job, JobCount, JobEvent, Span, User
from portal.runtime.context import current
from portal.services.actor import Actor
from portal.services.jobs import blocking, claims, create, places, reports, rescue
from portal.services.jobs.claims import Claim, ClaimStatus
from portal.services.jobs.reports import ProgressReport
from portal.services.jobs.totals import DIFFERENT, Total
from portal.services.runtime import runtime
from portal.transfers.local_paths import is_missing
from portal.transfers.request import Transfer
from portal.transfers.states import JobStatus, Operation
from portal.worker import Worker
from portal.worker.slots import Slots
from tests.support.invariants import Change, JobRow, assert_each_ended_once
from tests.support.scripts import python_program

MIB = 1024 * 1024


# --- rows ---------------------------------------------------------------------------------------


def stored(job_id: int) -> Job:
    """The row as the database has it now, free of any session."""
    session.remove()
    try:
        return session.get_one(Job, job_id)
    finally:
        session.remove()


def queue(transfer: Transfer, owner: User) -> Job:
    """A job as the form makes it. Where its source is not there, it has gone since."""
    if not is_missing(Path(transfer.source), [Path("/")]):
        return create.create(transfer, actor=Actor(owner))
    found = places.look_up(places.ends_of(transfer))
    with write() as tx:
        job = create.insert(tx, transfer, Actor(owner), found=found)
    runtime().executor.look()
    return job


def startable() -> list[int]:
    """The queued jobs that no other job blocks, in the order in which they were made."""
    queued = select(Job.id).where(Job.status == JobStatus.QUEUED).order_by(Job.id)
    with read_connection() as connection:
        ids = list(connection.scalars(queued))
        blocked = blocking.blockers(connection, ids)
    return [job_id for job_id in ids if job_id not in blocked]


def run_job(worker: Worker, job_id: int) -> bool:
    """Claims this job, whichever would be the next, and runs it to its end."""
    slot = Slots(1, freed=lambda: None).take()
    assert slot is not None
    attempt = worker.claim(job_id, slot)
    if attempt is not None:
        worker.run(attempt)
    return attempt is not None


def status_of(job_id: int) -> JobStatus:
    return JobStatus(stored(job_id).status)


def history(job_id: int) -> list[str]:
    """The statuses that the table of events tells, in its order."""
    found = select(JobEvent.new_status).where(JobEvent.job_id == job_id).order_by(JobEvent.id)
    try:
        return [str(status) for status in session.scalars(found)]
    finally:
        session.remove()


def assert_ended_once(job_ids: Iterable[int]) -> None:
    """See ``invariants.assert_each_ended_once``; told by the rows of the database."""
    rows, changes = [], []
    for job_id in job_ids:
        job = stored(job_id)
        rows.append(
            JobRow(
                *(job.id, JobStatus(job.status), Operation(job.operation), job.seq, job.attempt),
                *(job.interruptions, job.cancel_requested_at is not None, job.owner_id),
            )
        )
        for event in events_of(job_id):
            old = JobStatus(event.old_status) if event.old_status else None
            changes.append(Change(job_id, event.seq, old, JobStatus(event.new_status)))
    assert rows
    assert_each_ended_once(rows, changes)


def events_of(job_id: int) -> list[JobEvent]:
    found = select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)
    try:
        return list(session.scalars(found))
    finally:
        session.remove()


def miscounted() -> dict[str, tuple[int, int]]:
    """Statuses whose counter is not the number of such jobs: (counter, jobs)."""
    try:
        told = dict(session.execute(select(JobCount.status, JobCount.jobs)).all())
        rows = select(Job.status, func.count()).group_by(Job.status)
        real = dict(session.execute(rows).all())
    finally:
        session.remove()
    return {
        str(status): (told.get(status, 0), real.get(status, 0))
        for status in JobStatus
        if told.get(status, 0) != real.get(status, 0)
    }


def miscounted_totals() -> dict[tuple[str, str], tuple[Total, Total]]:
    """Spans and statuses of which the totals are not those of the jobs: (totals, jobs)."""
    figures = (HistoryTotal.jobs, HistoryTotal.bytes_moved, HistoryTotal.files)
    keys = (HistoryTotal.span, HistoryTotal.status)
    told: defaultdict[tuple[str, str], Total] = defaultdict(Total)
    real: defaultdict[tuple[str, str], Total] = defaultdict(Total)
    try:
        for span, status, *row in session.execute(select(*keys, *figures, HistoryTotal.seconds)):
            told[span, status] += Total(*row)
        for job in session.scalars(select(Job).where(Job.finished_at.is_not(None))):
            status = DIFFERENT if job.outcome == DIFFERENT else str(job.status)
            for span in Span:
                real[span, status] += Total(
                    1, job.bytes_transferred, job.files_transferred, job.seconds or 0
                )
    finally:
        session.remove()
    return {key: (told[key], real[key]) for key in {*told, *real} if told[key] != real[key]}


@dataclass(frozen=True, slots=True)
class Counted:
    """Bytes as the dashboard, the history and the rows of all jobs have them."""

    dashboard: int
    history: int
    jobs: int


def counted_bytes() -> Counted:
    try:
        minutes = session.scalar(select(func.sum(ActivityMinute.bytes_moved)))
        totals = session.scalar(
            select(func.sum(HistoryTotal.bytes_moved)).where(HistoryTotal.span == Span.MONTH)
        )
        rows = session.scalar(select(func.sum(Job.bytes_transferred)))
        return Counted(int(minutes or 0), int(totals or 0), int(rows or 0))
    finally:
        session.remove()


def reading(done: int = 0, total: int | None = None, **figures: Any) -> Progress:
    """What the engine would tell of a transfer that has moved ``done`` bytes."""
    percent = min(99.9, done * 1000 // total / 10) if total else None
    plain = Progress(
        phase=Phase.TRANSFERRING,
        bytes_transferred=done,
        total_bytes=total,
        percent=percent,
        speed_bytes=1000,
        eta_seconds=5,
        files_transferred=1,
        files_total=2,
        files_listed=2,
        errors=0,
        current_files=(),
    )
    return replace(plain, **figures)


def tell(job_id: int, attempt: int, figures: Progress) -> ClaimStatus:
    """What a worker tells of one job."""
    hold = Claim(job_id, attempt)
    return reports.report_progress([ProgressReport(hold, figures)])[hold]


def standing(job_id: int, attempt: int) -> ClaimStatus:
    hold = Claim(job_id, attempt)
    return claims.check_claims([hold])[hold]


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Another program holds the write lock of the database."""
    connection = sqlite3.connect(data_dir / "portal.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def on_database(data_dir: Path, statement: str) -> None:
    """Behind the back of the portal of one process."""
    connection = sqlite3.connect(data_dir / "portal.sqlite")
    connection.execute(statement)
    connection.commit()
    connection.close()


def whole_row(job_id: int) -> tuple[Any, ...] | None:
    """Every column, as other connections see it."""
    with read_connection() as connection:
        found = connection.execute(select(Job.__table__).where(Job.id == job_id)).one_or_none()
        return tuple(found) if found else None


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Emitted:
    """``committed`` is the seq that other connections could read when the event left."""

    name: str
    data: dict[str, Any]
    room: str | None
    at: float
    committed: int


class Recorder(Manager):
    """A client manager that writes down what leaves, then sends it as always."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self.all: list[Emitted] = []
        #: Seconds that a sender may be held up, at random: time for another one to overtake it.
        self.hold_up = 0.0
        #: A connection of its own for each look: what it reads was committed.
        self._database = create_engine(database_url, poolclass=NullPool)
        self._lock = threading.Lock()
        self._is_over = False

    def end(self) -> None:
        """A subscriber delivers for some seconds more what it hears, while the database goes."""
        self._is_over = True

    def emit(self, event: str, data: Any, namespace: str, room: Any = None, **options: Any) -> Any:
        if self._is_over:
            return None
        time.sleep(random.uniform(0, self.hold_up))  # noqa: S311 - no secret
        left = Emitted(event, data, room, time.monotonic(), self._committed(data.get("job_id", 0)))
        with self._lock:
            self.all.append(left)
        return super().emit(event, data, namespace, room=room, **options)

    def of(self, job_id: int, name: str | None = None) -> list[Emitted]:
        return [
            event
            for event in list(self.all)
            if event.data.get("job_id") == job_id and name in (None, event.name)
        ]

    def statuses(self, job_id: int) -> list[str]:
        return [str(event.data["new_status"]) for event in self.of(job_id, "job_status_change")]

    def _committed(self, job_id: int) -> int:
        with self._database.connect() as connection:
            return connection.scalar(select(Job.seq).where(Job.id == job_id)) or 0


# --- files and processes ------------------------------------------------------------------------


def tree(folder: Path) -> dict[bytes, bytes]:
    """Every file below, by its name in bytes."""
    return {
        os.fsencode(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fill(folder: Path, size: int = 1000, files: int = 3) -> Path:
    """A folder with so many files of random bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        (folder / f"file {number}").write_bytes(os.urandom(size))
    return folder


def rclones(data_dir: Path) -> list[int]:
    """Jobs that a living process of this data folder works for, as /proc shows it."""
    found = []
    for _, told in environments():
        if b"PORTAL_DATA=" + os.fsencode(data_dir) in told:
            found += [int(item[14:]) for item in told if item.startswith(b"PORTAL_JOB_ID=")]
    return found


def environments() -> Iterator[tuple[int, list[bytes]]]:
    """Living processes and the environments that they were started with."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # gone meanwhile, or no process
            yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")


def scripted_rclone(folder: Path, body: str) -> Path:
    """A program in Python that stands for an rclone, for what the real one will not do."""
    head = """\
        import json, os, signal, sys, time
        def tell(done, total, **more):
            stats = {"bytes": done, "totalBytes": total, "transfers": 0, "totalTransfers": 1,
                     "checks": 0, "listed": 1, "elapsedTime": 1.0, **more}
            print(json.dumps({"stats": stats}), file=sys.stderr, flush=True)
    """
    return python_program(folder / "scripted-rclone", textwrap.dedent(head) + textwrap.dedent(body))


def know_the_clocks() -> None:
    """As a process that has swept before: it knows that the database's clock was not just set."""
    clocks = current()[rescue._Clocks]
    if clocks._previous is None:
        clocks.agree(0.0)


def claim_and_fall_silent(job_id: int) -> int:
    """Of a worker that was last heard of a minute ago."""
    know_the_clocks()
    claims.claim(job_id, "lost:1")
    minute = update(Job).where(Job.id == job_id).values(heartbeat_at=database_time(ago=60))
    session.execute(minute)
    session.commit()
    session.remove()
    return job_id
