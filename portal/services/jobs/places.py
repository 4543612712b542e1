"""Where open jobs write, so that no two of them write to the same place at once, and none takes
what another is just writing for all there is.

A job that writes has a row for each name of each place that it writes to or reads. It may be
claimed when no running job and no job ahead of it writes to one of them, to a place inside it or to
one that contains it. A job waits only for older and for running jobs, so jobs never wait in a
circle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

from portal.db.session import read_connection, write
from portal.engine import KnownMounts
from portal.engine.safety import places
from portal.engine.safety.same_place import ACCOUNT
from portal.errors import Invalid
from portal.models import Job, JobPlace, Remote
from portal.remotes.backends import BACKENDS
from portal.services.runtime import runtime
from portal.settings import Settings
from portal.transfers.local_paths import is_missing
from portal.transfers.states import ACTIVE, FINAL, JobStatus, Operation

_CLAIMS = 1_702_129_518_733_001_129  # any number that nobody else uses for an advisory lock
#: The longest key in bytes: databases limit the length of an entry in an index. A longer key is
#: replaced by that of a folder that contains the place.
_MAX_LENGTH = 1000
#: Disks below a folder that count; SQLite takes no condition of a thousand parts.
_MOST_MOUNTS = 200
#: Prefix of keys that mean something on one machine only.
_OF_MACHINE = "local:"
_GOES_ON = tuple(operation for operation in Operation if not operation.deletes)


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A job that waits for a worker of its pool."""

    job_id: int
    pool: str | None


@dataclass(frozen=True, slots=True)
class JobPlaces:
    """``source`` and ``destination``: a key of each side, as ``engine.safety.places`` makes it, or
    None if it cannot be known. ``written``: every key of the places that the job writes to;
    ``read``: of those that it only reads, if it writes anywhere."""

    source: str | None
    destination: str | None
    written: frozenset[str]
    read: frozenset[str] = frozenset()

    @property
    def used(self) -> frozenset[str]:
        return self.written | self.read


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


def ends_of(asked: Any) -> JobEnds:
    """Returns the ends of a job, of its row, or of a transfer that is to become a job."""
    values = {name: getattr(asked, name) for name in JobEnds.__dataclass_fields__}
    return JobEnds(**values | {"operation": Operation(asked.operation)})


# --- looked up, outside of any transaction -------------------------------------------------------


def look_up(ends: JobEnds, *, ask_network: bool = False) -> JobPlaces:
    """Looks at the file system and, with ``ask_network``, resolves the addresses of servers."""
    remotes = _remotes({ends.source_remote_id, ends.destination_remote_id} - {None})
    writes = not ends.dry_run and ends.operation is not Operation.CHECK
    sides: dict[str, list[str]] = {}
    for side in ("source", "destination"):
        number, text = getattr(ends, f"{side}_remote_id"), getattr(ends, side)
        if number is None:
            sides[side] = _local(text, ends.pool)
        elif number in remotes:
            sides[side] = _elsewhere(text, remotes[number], ask_network=ask_network)
        else:
            sides[side] = []
    written = sides["destination"] if writes else []
    read = sides["source"] if writes else []
    if ends.operation is Operation.MOVE:
        written, read = written + read, []
    stored = frozenset(map(_stored_key, written))
    return JobPlaces(
        source=_first(sides["source"]),
        destination=_first(sides["destination"]),
        written=stored,
        read=frozenset(map(_stored_key, read)) - stored,
    )


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


def _account(remote: Row[Any]) -> tuple[str, ...]:
    """The values that, beside the server, decide where a path leads. A token does not say whose it
    is."""
    whose = str(remote.id) if "bearer_token" in remote.secrets else ""
    return remote.backend, whose, *(str(remote.options.get(name)) for name in ACCOUNT)


def of_queued(job_id: int) -> JobPlaces | None:
    """Returns where a queued job writes now; None for any other job."""
    columns = [getattr(Job, name) for name in JobEnds.__dataclass_fields__]
    query = select(*columns).where(Job.id == job_id, Job.status == JobStatus.QUEUED)
    with read_connection() as connection:
        row = connection.execute(query).one_or_none()
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
    return [places.of_local(path), by_path, *places.of_mounts_below(path)[:_MOST_MOUNTS]]


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


# --- kept, within a transaction -----------------------------------------------------------------


def keep(tx: Session, job_id: int, found: JobPlaces) -> None:
    """Replaces the stored places of this job."""
    kept = {**dict.fromkeys(found.written, True), **dict.fromkeys(found.read, False)}
    mine = select(JobPlace.key, JobPlace.writes).where(JobPlace.job_id == job_id)
    if dict(tx.execute(mine).all()) == kept:
        return
    forget(tx, job_id)
    if kept:
        rows = [{"job_id": job_id, "key": key, "writes": kept[key]} for key in sorted(kept)]
        tx.execute(insert(JobPlace), rows)


def forget(tx: Session, job_id: int) -> None:
    tx.execute(delete(JobPlace).where(JobPlace.job_id == job_id))


def forget_ended() -> None:
    """Deletes the places of jobs that a worker of an older release has ended."""
    ended = select(Job.id).where(Job.id.in_(select(JobPlace.job_id)), Job.status.in_(FINAL))
    with read_connection() as connection:
        ids = list(connection.scalars(ended))
    if ids:
        with write() as tx:
            tx.execute(delete(JobPlace).where(JobPlace.job_id.in_(ids)))
            tx.commit()


def used_by(connection: Connection, job_id: int) -> frozenset[str]:
    """Returns the keys of all places that a job writes to or reads."""
    return frozenset(connection.scalars(select(JobPlace.key).where(JobPlace.job_id == job_id)))


def written_by(connection: Connection, job_id: int) -> frozenset[str]:
    query = select(JobPlace.key).where(JobPlace.job_id == job_id, JobPlace.writes)
    return frozenset(connection.scalars(query))


def claim_in_turn(tx: Session) -> None:
    """Lets only one transaction claim at a time, until it ends. If two overlap, the later one sees
    what the earlier one did. SQLite has only one writer anyway."""
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_CLAIMS)))


# --- who waits for whom -------------------------------------------------------------------------


def is_alone(job_id: int, keys: Collection[str]) -> list[ColumnElement[bool]]:
    """Conditions: no other job blocks this one, which writes to these places or reads them."""
    if not keys:
        return []
    older, other = _older(job_id, keys), aliased(Job)
    is_open = or_(
        other.status.in_((JobStatus.QUEUED, *ACTIVE)),
        and_(other.status == JobStatus.INTERRUPTED, other.operation.in_(_GOES_ON)),
    )
    return [
        ~exists(older.join(other, other.id == JobPlace.job_id).where(is_open)),
        ~exists(_running(job_id, keys)),
    ]


def waits(connection: Connection, job_id: int, keys: Collection[str]) -> bool:
    return bool(keys) and not connection.scalar(select(and_(*is_alone(job_id, keys))))


class Blocker(NamedTuple):
    """The job that another one waits for, and whether it is paused."""

    job_id: int
    paused: bool


def blockers(connection: Connection, job_ids: Collection[int]) -> dict[int, Blocker]:
    """Returns the job that each of these waits for: the oldest of those in its way. It takes two
    queries for any number of jobs."""
    keys: dict[int, set[str]] = {}
    mine = select(JobPlace.job_id, JobPlace.key).where(JobPlace.job_id.in_(job_ids))
    for job_id, key in connection.execute(mine):
        keys.setdefault(job_id, set()).add(key)
    if not keys:
        return {}
    # Only open jobs have places.
    others = connection.execute(
        select(JobPlace.job_id, JobPlace.key, Job.status, Job.paused_at)
        .join(Job, Job.id == JobPlace.job_id)
        .where(JobPlace.writes, _overlapping(set().union(*keys.values())))
        .order_by(JobPlace.job_id)
    ).all()
    found: dict[int, Blocker] = {}
    for job_id, used in keys.items():
        in_the_way = [row for row in others if _overlap(row.key, used)]
        # A younger job may run already if its conflict was discovered too late, or if its place has
        # changed since.
        older = (row for row in in_the_way if row.job_id < job_id)
        running = (row for row in in_the_way if row.job_id > job_id and row.status in ACTIVE)
        if (row := next(older, None) or next(running, None)) is not None:
            found[job_id] = Blocker(row.job_id, row.paused_at is not None)
    return found


def _overlap(key: str, used: Collection[str]) -> bool:
    return any(key in places.holders(one) or one in places.holders(key) for one in used)


def _older(job_id: int, keys: Iterable[str]) -> Select[int]:
    return select(JobPlace.job_id).where(
        JobPlace.job_id < job_id, JobPlace.writes, _overlapping(keys)
    )


def _running(job_id: int, keys: Iterable[str]) -> Select[int]:
    """Younger jobs that run already: their conflict was discovered too late, or their place has
    changed."""
    other = aliased(Job)
    return (
        select(other.id)
        .join(JobPlace, JobPlace.job_id == other.id)
        .where(other.status.in_(ACTIVE), other.id > job_id, JobPlace.writes, _overlapping(keys))
    )


def startable_after(keys: Collection[str]) -> list[PendingJob]:
    """Returns the jobs that may run now that nobody writes to these places any more, oldest
    first."""
    if not keys:
        return []
    with read_connection() as connection:
        waiting = connection.scalars(
            select(JobPlace.job_id)
            .join(Job, Job.id == JobPlace.job_id)
            .where(Job.status == JobStatus.QUEUED, _overlapping(keys))
        )
        touched = set(waiting)
    return [one for one in ready() if one.job_id in touched] if touched else []


def ready() -> list[PendingJob]:
    """Returns all queued jobs that no other job blocks, oldest first."""
    goes_on = and_(Job.status == JobStatus.INTERRUPTED, Job.operation.in_(_GOES_ON))
    columns: list[Any] = [Job.id, Job.pool, Job.status, JobPlace.key, JobPlace.writes]
    query = (
        select(*columns)
        .outerjoin(JobPlace, JobPlace.job_id == Job.id)
        .where(or_(Job.status.in_((JobStatus.QUEUED, *ACTIVE)), goes_on))
    )
    used: dict[int, list[str]] = {}
    written: dict[int, list[str]] = {}
    jobs: dict[int, Row[Any]] = {}
    with read_connection() as connection:
        for row in connection.execute(query):
            jobs[row.id] = row
            used.setdefault(row.id, []).extend([row.key] if row.key else [])
            written.setdefault(row.id, []).extend([row.key] if row.writes else [])
    taken = _TakenPlaces()
    for row in sorted(jobs.values(), key=lambda row: (row.status not in ACTIVE, row.id)):
        if row.status == JobStatus.QUEUED and not taken.overlaps(used[row.id]):
            taken.free.append(PendingJob(row.id, row.pool))
        taken.add(written[row.id])
    return taken.free


class _TakenPlaces:
    """Places of the jobs that run or are ahead."""

    def __init__(self) -> None:
        self.free: list[PendingJob] = []
        self._keys: set[str] = set()
        self._holders: set[str] = set()

    def add(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._keys.add(key)
            self._holders.update(places.holders(key))

    def overlaps(self, keys: Iterable[str]) -> bool:
        return any(
            key in self._holders or not self._keys.isdisjoint(places.holders(key)) for key in keys
        )


def _overlapping(keys: Iterable[str]) -> ColumnElement[bool]:
    """Condition on rows of places: the same place, one that contains it, or one inside it."""
    keys = list(keys)
    holders = {holder for key in keys for holder in places.holders(key)}
    # The character "0" follows "/", so all keys that begin with this one lie between the two.
    below = (and_(JobPlace.key >= key, JobPlace.key < f"{key[:-1]}0") for key in keys)
    return or_(JobPlace.key.in_(holders), *below)
