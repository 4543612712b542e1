"""Looks up where a job reads and writes, outside of any transaction: the places of both its sides,
whatever they are called. ``blocking`` stores them, and says who waits for whom.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, func, or_, select

from portal.db.session import read_connection
from portal.engine import KnownMounts
from portal.engine.safety import places
from portal.engine.safety.same_place import ACCOUNT
from portal.errors import Invalid
from portal.models import Job, JobEvent, Remote
from portal.remotes.backends import BACKENDS
from portal.services.runtime import runtime
from portal.settings import Settings
from portal.transfers.local_paths import is_missing
from portal.transfers.states import ENDINGS, JobStatus, Operation

#: The longest key in bytes: databases limit the length of an entry in an index. A longer key is
#: replaced by that of a folder that contains the place.
_MAX_LENGTH = 1000
#: Disks below a folder that count; SQLite takes no condition of a thousand parts.
_MOST_MOUNTS = 200
#: Prefix of keys that mean something on one machine only.
_OF_MACHINE = "local:"
_ENDS: tuple[Any, ...] = (
    Job.id, Job.pool, Job.source, Job.source_remote_id, Job.source_key,
    Job.destination, Job.destination_remote_id, Job.destination_key, Job.unfilled_source_id,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class UsedPlaces:
    """``written``: every key of the places that a job writes to; ``read``: of those that it only
    reads, if it writes anywhere; ``replaces``: whether what lies where it writes may be gone
    afterwards, deleted or written over."""

    written: frozenset[str]
    read: frozenset[str]
    replaces: bool

    @property
    def all(self) -> frozenset[str]:
        return self.written | self.read

    @property
    def replaced(self) -> frozenset[str]:
        """Places where the job deletes or writes over what others may still have to read."""
        return self.written if self.replaces else frozenset()


@dataclass(frozen=True, slots=True)
class JobPlaces:
    """``source`` and ``destination``: a key of each side, as ``engine.safety.places`` makes it, or
    None if it cannot be known."""

    source: str | None
    destination: str | None
    used: UsedPlaces


@dataclass(frozen=True, slots=True)
class JobEnds:
    """The values that decide where a job writes. A local side has None as the remote's id."""

    operation: Operation
    dry_run: bool
    source: str
    destination: str
    source_remote_id: int | None
    destination_remote_id: int | None
    pool: str | None


_QUEUED = select(*(getattr(Job, name) for name in JobEnds.__dataclass_fields__)).where(
    Job.id == bindparam("this_job"), Job.status == JobStatus.QUEUED
)


def ends_of(asked: Any) -> JobEnds:
    """Returns the ends of a job, of its row, or of a transfer that is to become a job."""
    values = {name: getattr(asked, name) for name in JobEnds.__dataclass_fields__}
    return JobEnds(**values | {"operation": Operation(asked.operation)})


def look_up(ends: JobEnds, *, ask_network: bool = False) -> JobPlaces:
    """Looks at the file system and, with ``ask_network``, resolves the addresses of servers."""
    writes = not ends.dry_run and ends.operation is not Operation.CHECK
    sides = {
        side: _keys(
            getattr(ends, f"{side}_remote_id"),
            getattr(ends, side),
            ends.pool,
            ask_network=ask_network,
        )
        for side in ("source", "destination")
    }
    written = sides["destination"] if writes else []
    read = sides["source"] if writes else []
    if ends.operation is Operation.MOVE:
        written, read = written + read, []
    stored = frozenset(map(_stored_key, written))
    return JobPlaces(
        source=_first(sides["source"]),
        destination=_first(sides["destination"]),
        used=UsedPlaces(
            written=stored,
            read=frozenset(map(_stored_key, read)) - stored,
            replaces=bool(stored) and (ends.operation.deletes or not _is_new(ends)),
        ),
    )


def _keys(remote_id: int | None, text: str, pool: str | None, *, ask_network: bool) -> list[str]:
    """Every key of one side; none if its remote is gone."""
    if remote_id is None:
        return _local(text, pool)
    remote = _remotes({remote_id}).get(remote_id)
    return [] if remote is None else _elsewhere(text, remote, ask_network=ask_network)


def _is_new(ends: JobEnds) -> bool:
    """Whether the destination certainly holds nothing that could be written over. Nobody knows of a
    storage before it is asked; a folder that is missing here may be there on a worker of a pool."""
    if ends.destination_remote_id is not None:
        return False
    try:
        with os.scandir(ends.destination) as found:
            return next(found, None) is None
    except FileNotFoundError:
        return ends.pool is None
    except OSError:
        return False


def refuse_one_place(ends: JobEnds, found: JobPlaces) -> None:
    """Raises Invalid if both sides are certainly one place, or one contains the other, whatever
    they are called. Cases that need a look at the storage are left to the worker."""
    if found.source is None or found.destination is None or ends.pool is not None:
        return
    numbers = ends.source_remote_id, ends.destination_remote_id
    if (None in numbers and numbers != (None, None)) or not places.overlap(
        found.source, found.destination
    ):
        return
    remotes = _remotes(set(numbers) - {None})
    if len({_account(remote) for remote in remotes.values()}) > 1:
        return  # each account may have a root of its own
    raise Invalid(
        {
            "destination": "This is the same folder as the source under another name, or one is "
            "inside the other."
        }
    )


def missing_source(ends: JobEnds, settings: Settings) -> Invalid | None:
    """Returns an error if a local source certainly does not exist. Two cases are left to the
    worker: workers of a pool may have folders of their own, and the empty mount point of a missing
    disk shows nothing."""
    if ends.pool is not None or ends.source_remote_id is not None:
        return None
    if not is_missing(Path(ends.source), settings.transfer_roots):
        return None
    mounts = KnownMounts(settings.data_dir, settings.transfer_roots)
    if mounts.problem(ends.source) is not None:
        return None
    return Invalid({"source": "Nothing exists at this path. Check it, or create the folder first."})


class UnfilledSource(NamedTuple):
    """The job that was to fill a source and did not; ``by``: the job that was to bring it here, if
    that is another one."""

    job_id: int
    by: int


def unfilled_source(job_id: int) -> UnfilledSource | None:
    """Returns the job that this one may have waited for since it fills its source, if that job
    ended before it had filled it; or completed, but from a source that was not filled itself."""
    older = select(*_ENDS).where(
        Job.id < job_id,
        Job.started_at.is_not(None),
        Job.operation != Operation.CHECK,
        Job.dry_run.is_(False),
        or_(Job.status != JobStatus.COMPLETED, Job.unfilled_source_id.is_not(None)),
    )
    interrupted = Job.status == JobStatus.INTERRUPTED, Job.finished_at.is_(None)
    with read_connection() as connection:
        mine = connection.execute(select(*_ENDS).where(Job.id == job_id)).one()
        # By the order of events: a clock may have been set since.
        first = connection.scalar(select(func.min(JobEvent.id)).where(JobEvent.job_id == job_id))
        ends = select(JobEvent.job_id).where(
            JobEvent.id > first, JobEvent.new_status.in_(ENDINGS), JobEvent.job_id < job_id
        )
        # One query for each index: the cost must not grow with the history.
        since = Job.status.in_(ENDINGS), Job.id.in_(ends)
        ended = {
            row.id: row
            for which in (since, interrupted)
            for row in connection.execute(older.where(*which))
        }
    for _, row in sorted(ended.items(), reverse=True):
        if _fills(row, mine) and not _was_made_up_for(row.id):
            return UnfilledSource(row.unfilled_source_id or row.id, by=row.id)
    return None


def _was_made_up_for(job_id: int) -> bool:
    """Whether a retry of this job, or one of that, has done what it was to do."""
    query = select(Job.id, Job.status, Job.unfilled_source_id).where(Job.retry_of_id == job_id)
    with read_connection() as connection:
        retries = connection.execute(query).all()
    return any(
        (retry.status == JobStatus.COMPLETED and retry.unfilled_source_id is None)
        or _was_made_up_for(retry.id)
        for retry in retries
    )


def _fills(other: Row[Any], mine: Row[Any]) -> bool:
    """Whether the destination of the other job is, holds or lies in the source of this one."""
    remotes = other.destination_remote_id, mine.source_remote_id
    if None in remotes and remotes != (None, None):
        return False
    ask = remotes[0] != remotes[1]  # one server may have two names
    theirs = _keys(remotes[0], other.destination, other.pool, ask_network=ask)
    here = _keys(remotes[1], mine.source, mine.pool, ask_network=ask)
    # And as they were when they were claimed: a disk may be missing now.
    theirs += [other.destination_key] if other.destination_key else []
    here += [mine.source_key] if mine.source_key else []
    return any(places.overlap(one, another) for one in theirs for another in here)


def _account(remote: Row[Any]) -> tuple[str, ...]:
    """The values that, beside the server, decide where a path leads. A token does not say whose it
    is."""
    whose = str(remote.id) if "bearer_token" in remote.secrets else ""
    return remote.backend, whose, *(str(remote.options.get(name)) for name in ACCOUNT)


def of_queued(job_id: int) -> JobPlaces | None:
    """Returns where a queued job writes now; None for any other job."""
    with read_connection() as connection:
        row = connection.execute(_QUEUED, {"this_job": job_id}).one_or_none()
    return None if row is None else look_up(ends_of(row), ask_network=True)


def _remotes(ids: Collection[int | None]) -> dict[int, Row[Any]]:
    if not ids:
        return {}
    columns: list[Any] = [Remote.id, Remote.backend, Remote.options, Remote.secrets]
    with read_connection() as connection:
        rows = connection.execute(select(*columns).where(Remote.id.in_(ids)))
        return {row.id: row for row in rows}


def _local(path: str, pool: str | None) -> list[str]:
    # The path is a key too: a device's identifier means nothing on another machine, nor on the same
    # one after its next start. Workers of one pool call a shared folder by one path.
    by_path = f"path:{pool or ''}:{places.by_path(path)}"
    table = places.mounts()
    below = places.of_mounts_below(path, table)[:_MOST_MOUNTS]
    return [places.of_local(path, table), by_path, *below]


def _elsewhere(text: str, remote: Row[Any], *, ask_network: bool) -> list[str]:
    backend = BACKENDS.get(remote.backend)
    if backend is None:
        return []
    parameters: Mapping[str, str] = remote.options
    if encrypted := remote.secrets.get("sas_url"):
        parameters = {**parameters, "sas_url": runtime().keys.decrypt(encrypted) or ""}
    path = text.partition(":")[2]
    found = [places.of_remote(backend.rclone, parameters, path)]
    if ask_network:
        found += places.by_address(backend.rclone, parameters, path)
    return found


def _first(keys: Sequence[str]) -> str | None:
    return keys[0] if keys else None


def _stored_key(key: str) -> str:
    if key.startswith(_OF_MACHINE):
        key = f"{_machine()}:{key}"
    while len(key.encode()) > _MAX_LENGTH:
        key = key[: key.rindex("/", 0, -1) + 1]
    return key


@cache
def _machine() -> str:
    """Identifies the kernel: two containers on one kernel see the same devices."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
