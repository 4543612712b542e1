"""The claims of workers on jobs: how a worker gets one, keeps it, and learns what people ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, bindparam, exists, select, tuple_, update
from sqlalchemy.orm import Session

from portal.db.session import database_time, read_connection, write
from portal.models import BandwidthBudget, Job, WorkerProcess
from portal.models.job import run_seconds
from portal.realtime import publish
from portal.services.jobs import blocking, limits
from portal.services.jobs.places import JobPlaces, UsedPlaces
from portal.services.jobs.transitions import job_transaction, transition, update_job
from portal.transfers.states import ACTIVE, JobStatus


class ClaimStatus(Enum):
    """Whether a claim is still good."""

    VALID = auto()
    CANCELLED = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to a job: one attempt at it. A stale claim changes nothing anywhere."""

    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class JobDirectives:
    """What people ask of a running job, and whether the claim on it is still good."""

    status: ClaimStatus
    paused: bool
    bandwidth_limit: str | None
    #: Whether there is any bandwidth budget.
    budgeted: bool = False


_JOBS = Job.__table__.c
#: A job before it is claimed, in the order of everybody else: the row of the job, then its places.
_LOCKED = (
    select(_JOBS.earlier_seconds, _JOBS.started_at, _JOBS.heartbeat_at)
    .where(_JOBS.id == bindparam("this_job"))
    .with_for_update(key_share=True)
)
_IS_NOT_PAUSED = Job.paused_at.is_(None)
_NEXT_ATTEMPT = Job.attempt + 1
_GONE = JobDirectives(ClaimStatus.LOST, paused=False, bandwidth_limit=None)


def claim(
    job_id: int,
    worker: str,
    worker_id: int | None = None,
    found: JobPlaces | None = None,
    *,
    only_if: Sequence[ColumnElement[bool]] = (),
) -> Job | None:
    """Returns the job, now running in a new attempt of ``worker``. Returns None if the job is not
    queued or is paused, if another job blocks it (``found``: its places now), if the row of this
    worker says that it takes no more jobs, or if one of the other conditions does not hold."""
    used = _places_to_use(job_id, found)
    if used is None:
        return None
    with job_transaction(job_id) as tx:
        blocking.claim_in_turn(tx)
        before = tx.execute(_LOCKED, {"this_job": job_id}).one_or_none()
        if before is None:
            return None
        if found is not None:
            blocking.keep(tx, job_id, found)
        alone = blocking.is_alone(job_id, used)
        job = transition(
            tx,
            job_id,
            JobStatus.QUEUED,
            JobStatus.RUNNING,
            only_if=(_IS_NOT_PAUSED, *takes_jobs(worker_id), *alone.conditions, *only_if),
            given=alone.parameters,
            attempt=_NEXT_ATTEMPT,
            worker=worker,
            worker_id=worker_id,
            slot_released_at=None,
            earlier_seconds=_seconds_so_far(before),
            started_at=database_time(),
            heartbeat_at=database_time(),
            **_keys(found),
            **standing_still(),
        )
        if job is not None:
            tx.commit()
            publish.status_changed(job, JobStatus.QUEUED)
    if job is None:
        _places_to_use(job_id, found)  # another claim came first: the next look has to see why
    return job


def _places_to_use(job_id: int, found: JobPlaces | None) -> UsedPlaces | None:
    """Returns the places that the job uses; None if it has to wait for another job.
    This is checked before the claim, so that a job that waits takes no lock."""
    with read_connection() as connection:
        used = blocking.used_by(connection, job_id) if found is None else found.used
        if not blocking.waits(connection, job_id, used):
            return used
        known = blocking.used_by(connection, job_id)
    if found is not None and used != known:
        # The next look at the queue sees by these places that it has to wait.
        with write() as tx:
            tx.execute(_LOCKED, {"this_job": job_id})
            blocking.keep(tx, job_id, found)
            tx.commit()
    return None


def _keys(found: JobPlaces | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {"source_key": found.source, "destination_key": found.destination}


@cache
def takes_jobs(worker_id: int | None) -> tuple[ColumnElement[bool], ...]:
    """Conditions: this worker is to take jobs. There are none for the only process of a portal."""
    if worker_id is None:
        return ()
    taking = select(WorkerProcess.id).where(
        WorkerProcess.id == worker_id,
        WorkerProcess.paused_at.is_(None),
        WorkerProcess.draining_at.is_(None),
        WorkerProcess.stopped_at.is_(None),
    )
    return (exists(taking),)


def _seconds_so_far(job: Any) -> int:
    """Returns for how long earlier attempts have worked at a job."""
    return int(job.earlier_seconds) + (run_seconds(job.started_at, None, job.heartbeat_at) or 0)


def release_slot(claim: Claim) -> bool:
    """Notes that a job that is paused for long holds no slot any more. Returns whether it is still
    paused, and this claim's. Noting it again does no harm."""
    with job_transaction(claim.job_id) as tx:
        still = (Job.paused_at.is_not(None),)
        job = _update(tx, claim, still, slot_released_at=database_time())
        return job is not None


def take_slot(claim: Claim) -> bool:
    """Notes that a resumed job holds a slot again. Returns False if it is paused again, if the
    claim is lost, or while its owner or one of its storages is at a limit."""
    with job_transaction(claim.job_id) as tx:
        blocking.claim_in_turn(tx)
        resumed = (_IS_NOT_PAUSED, *limits.leave_room())
        return _update(tx, claim, resumed, slot_released_at=None) is not None


def _update(
    tx: Session, claim: Claim, only_if: Sequence[ColumnElement[bool]], **values: Any
) -> Job | None:
    job = update_job(
        tx, claim.job_id, JobStatus.RUNNING, of_attempt=claim.attempt, only_if=only_if, **values
    )
    if job is not None:
        tx.commit()
        publish.changed(job)
    return job


def check_claims(claims: Sequence[Claim]) -> dict[Claim, ClaimStatus]:
    """Returns the status of each claim; writes nothing."""
    return {claim: found.status for claim, found in read_directives(claims).items()}


def read_directives(claims: Sequence[Claim]) -> dict[Claim, JobDirectives]:
    """Returns the status of each claim, and what people ask of its job."""
    if not claims:
        return {}
    ids = [claim.job_id for claim in claims]
    columns = (Job.id, Job.attempt, Job.status, Job.paused_at, Job.bandwidth_limit)
    budgeted = exists(select(BandwidthBudget.id)).label("budgeted")
    with read_connection() as connection:
        rows = connection.execute(select(*columns, budgeted).where(Job.id.in_(ids)))
        found = {
            Claim(row.id, row.attempt): JobDirectives(
                _claim_status(row.status),
                row.paused_at is not None,
                row.bandwidth_limit,
                bool(row.budgeted),
            )
            for row in rows
        }
    return {claim: found.get(claim, _GONE) for claim in claims}


def heartbeat(claims: Sequence[Claim]) -> dict[Claim, ClaimStatus]:
    """Renews these leases; returns the status of each claim."""
    if not claims:
        return {}
    keys = [(claim.job_id, claim.attempt) for claim in claims]
    with write() as tx:
        rows = tx.execute(
            update(Job)
            .where(tuple_(Job.id, Job.attempt).in_(keys), Job.status.in_(ACTIVE))
            .values(heartbeat_at=database_time())
            .returning(Job.id, Job.attempt, Job.status),
            execution_options={"synchronize_session": False},
        ).all()
        tx.commit()
    found = {Claim(row.id, row.attempt): row.status for row in rows}
    return {claim: _claim_status(found.get(claim)) for claim in claims}


def _claim_status(status: str | None) -> ClaimStatus:
    if status not in ACTIVE:
        return ClaimStatus.LOST
    return ClaimStatus.CANCELLED if status == JobStatus.CANCELLING else ClaimStatus.VALID


def standing_still() -> dict[str, Any]:
    """Figures of a job that nobody works on. The figures of what was done so far stay, because a
    job's figures cover all its attempts."""
    return {
        "phase": None,
        "speed_bytes": 0,
        "eta_seconds": None,
        "current_files": [],
        "progress_at": None,
        "allowed_bytes": None,
        "wanted_bytes": None,
    }
