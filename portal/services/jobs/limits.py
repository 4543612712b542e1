"""How many jobs may be open and run: of one user, and of one storage."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from portal.errors import TooManyJobs
from portal.models import Job, Remote, Role, User
from portal.services.runtime import runtime
from portal.transfers.counted import counted
from portal.transfers.scheduling import Load, QueuedJob
from portal.transfers.states import ACTIVE

_RUN_JOBS = tuple(role for role in Role if role.includes(Role.OPERATOR))
_LIMITED = select(Remote.id, Remote.max_jobs).where(Remote.max_jobs.is_not(None))


def read_load(connection: Connection, claiming: Collection[QueuedJob] = ()) -> Load:
    """Returns what runs now, and what may run at most. A paused job that gave its slot back does
    not count; one that was resumed does, and gets the next slot that is free, unless its owner may
    no longer run jobs. ``claiming``: jobs
    that count although they may not run yet."""
    load = Load(user_limit=runtime().settings.max_running_jobs_per_user)
    load.remote_limits = {row.id: row.max_jobs for row in connection.execute(_LIMITED)}
    running = set()
    for job_id, owner, *remotes in connection.execute(_RUNNING):
        running.add(job_id)
        load.owners[owner] += 1
        load.remotes.update({remote for remote in remotes if remote is not None})
    for job in claiming:
        if job.job_id not in running:
            load.owners[job.owner_id] += 1
            load.remotes.update(set(job.remotes))
    return load


def may_run_jobs(owner_id: Any) -> ColumnElement[bool]:
    """Condition: the owner is active, and of a role that runs jobs. A right that has ended must not
    delete or copy anything by way of a job that waited."""
    # Not IN, which SQLAlchemy would write out anew for each look at the queue.
    role = or_(*(User.role == role for role in _RUN_JOBS))
    # Not EXISTS: PostgreSQL makes a join of it, and reads the whole queue to sort it.
    allowed = select(User.active).where(User.id == owner_id, User.active, role)
    return allowed.scalar_subquery()


_RUNNING = select(Job.id, Job.owner_id, Job.source_remote_id, Job.destination_remote_id).where(
    Job.status.in_(ACTIVE),
    or_(
        Job.slot_released_at.is_(None),
        and_(Job.paused_at.is_(None), may_run_jobs(Job.owner_id)),
    ),
)


def leave_room() -> tuple[ColumnElement[bool], ...]:
    """Conditions: the job may take a slot without going beyond a limit or a right."""
    return _leaves_room(runtime().settings.max_running_jobs_per_user)


@cache
def _leaves_room(most_of_user: int) -> tuple[ColumnElement[bool], ...]:
    other = aliased(Job)
    running = (
        select(func.count())
        .select_from(other)
        .where(other.status.in_(ACTIVE), other.slot_released_at.is_(None), other.id != Job.id)
        .correlate(Job, Remote)
    )
    conditions = [may_run_jobs(Job.owner_id)]
    if most_of_user:
        of_owner = running.where(other.owner_id == Job.owner_id).scalar_subquery()
        conditions.append(of_owner < most_of_user)
    of_remote = running.where(
        or_(other.source_remote_id == Remote.id, other.destination_remote_id == Remote.id)
    )
    full = exists().where(
        Remote.id.in_((Job.source_remote_id, Job.destination_remote_id)),
        Remote.max_jobs <= of_remote.scalar_subquery(),
    )
    return *conditions, ~full


def refuse_more_open(tx: Session, owner_id: int) -> None:
    """Raises TooManyJobs if the user has as many open jobs as one user may have."""
    most = runtime().settings.max_open_jobs_per_user
    # Locked, so that two requests at once do not both count before either has added a job.
    tx.execute(select(User.id).where(User.id == owner_id).with_for_update(key_share=True))
    found = select(func.count()).where(Job.owner_id == owner_id, Job.finished_at.is_(None))
    if (tx.scalar(found) or 0) >= most:
        raise TooManyJobs(
            f"You have {counted(most, 'open job', 'open jobs')}, as many as one user may have. "
            "Wait until one ends, or cancel one."
        )
