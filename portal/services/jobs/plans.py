"""The plan of a dry run, and its confirmation, which makes it a job.

The job carries the plan that was shown. Its worker makes a new dry run just before the start, and
refuses if other files would be deleted.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from portal.db.session import session, write
from portal.errors import Conflict, Invalid
from portal.models import Job
from portal.services.actor import Actor
from portal.services.jobs import create, places
from portal.services.jobs.places import ends_of
from portal.services.jobs.transitions import lock_job
from portal.services.runtime import runtime
from portal.transfers.states import JobStatus, Operation


def confirmable(job: Job) -> bool:
    """Returns whether a person may confirm this dry run."""
    done = job.dry_run and job.status == JobStatus.COMPLETED and job.plan is not None
    return done and Operation(job.operation).deletes


def confirmed_by(job_id: int) -> Job | None:
    """Returns the job that this dry run was confirmed as."""
    return session.scalar(select(Job).where(Job.confirms_id == job_id).order_by(Job.id).limit(1))


def confirm(job_id: int, typed: str, *, actor: Actor) -> tuple[Job, bool]:
    """Returns the job, and whether it was just created: a dry run is confirmed once. ``typed`` is
    the name of the job or the number of files that it deletes; if it deletes none, any text will
    do. Raises Conflict or Invalid."""
    asked = session.get_one(Job, job_id)
    found = places.look_up(replace(ends_of(asked), dry_run=False))
    with write() as tx:
        shown = lock_job(tx, job_id)
        # Searched for while the dry run is locked: if somebody clicks twice, the second click finds
        # the job of the first.
        job = confirmed_by(job_id)
        if job is not None:
            return job, False
        if not confirmable(shown):
            raise Conflict("Only a completed dry run of a sync or a move can be confirmed.")
        deletes = int((shown.plan or {}).get("deletes", 0))
        if deletes and typed.strip() not in (shown.name, f"{deletes}", f"{deletes:,}"):
            raise Invalid({"confirm": f"Type {deletes:,} or the job's name."})
        transfer = replace(create.transfer_of(shown), dry_run=False)
        job = create.insert(tx, transfer, actor, found=found, confirms=shown)
    runtime().executor.look()
    return job, True
