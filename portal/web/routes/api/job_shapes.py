"""The JSON shapes of a job."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from portal import models
from portal.presentation.job_words import allowed_now
from portal.services.jobs import queue_position
from portal.services.jobs.queue_position import Queued
from portal.transfers import compared
from portal.transfers.options import from_json
from portal.transfers.scheduling import Priority, Reason
from portal.transfers.states import JobStatus, Operation
from portal.web.routes.api.option_shapes import OptionsResponse
from portal.web.routes.api.shapes import ResponseBody, Timestamp


class JobOptions(OptionsResponse):
    """The options of a job."""

    timezone: str = Field(description="Time zone of a timetable of the bandwidth limit.")


class PlannedFile(ResponseBody):
    name: str
    size: int


class Plan(ResponseBody):
    """What a dry run found it would do."""

    copies: int = Field(0, description="Files.")
    unchanged: int | None = Field(
        None, description="Files that both sides have already; null for older dry runs."
    )
    copy_bytes: int = 0
    deletes: int = Field(0, description="Files to be deleted; for a move, those at the source.")
    delete_bytes: int = 0
    first_copies: list[PlannedFile] = Field([], description="The first ten by name.")
    first_deletes: list[PlannedFile] = Field([], description="The first ten by name.")


class LeftOut(ResponseBody):
    """What was left out because it is no file, because the destination cannot hold it, or because
    it looks like an incomplete file."""

    links: int = Field(description="Symbolic links.")
    specials: int = Field(description="Devices, FIFOs and sockets.")
    names: int = Field(0, description="Names that the destination cannot hold.")
    first_names: list[str] = Field([], description="The first ten of these.")
    empty_folders: int = Field(0, description="Empty folders, if the destination cannot hold any.")
    partials: int = Field(
        0,
        description="Files of a local source whose names look like incomplete files of the portal:"
        " photo.jpg.32a46c13.portal3f-1.",
    )
    first_partials: list[str] = Field([], description="The first ten of these.")


class Names(ResponseBody):
    count: int
    names: list[str] = Field(description="The first ten.")


class WaitingFor(ResponseBody):
    """Why a job that is queued, or that was resumed, does not run yet."""

    reason: Reason = Field(
        description="destination: another job, job_id, writes to the destination or the source of"
        " this one, or to a folder above or below it. user_limit: as many jobs of its owner run as"
        " one user may run, or the owner may no longer run jobs. remote_limit: as many jobs of one"
        " of its remotes run as may run at once. slot: no slot is free. paused: a person paused it."
        " no_worker: no living worker takes jobs of its pool."
    )
    job_id: int | None


class Difference(ResponseBody):
    count: int
    names: list[str] = Field(
        description="The first by name: ten where jobs are listed, a thousand of one job."
    )


class Differences(ResponseBody):
    """What a comparison of both sides has found."""

    different: Difference
    only_source: Difference
    only_destination: Difference


class Job(ResponseBody):
    """One execution of one transfer."""

    id: int
    name: str
    operation: Operation
    source: str
    destination: str
    bandwidth_limit: str | None
    dry_run: bool
    options: JobOptions
    plan: Plan | None = Field(
        description="For a completed dry run: what it would do. For a confirmed job: what was"
        " shown before it was confirmed."
    )
    confirms: int | None = Field(
        description="The dry run that was confirmed; null if nobody had to confirm the job."
    )
    owner: str = Field(description="Name of the user who created it.")
    priority: Priority = Field(description="-1, 0 or 1: the highest runs first.")
    pool: str | None = Field(
        description="Pool whose workers run it; null for workers without a pool."
    )
    status: JobStatus
    paused: bool = Field(description="Whether a person paused it.")
    queue_place: int | None = Field(
        description="Position of a queued job: 1 is the next of its pool. Null beyond the first"
        " 1,000."
    )
    waiting_for: WaitingFor | None = Field(description="Null if the job is not queued.")
    trouble: str | None = Field(
        description="What hinders a running job, such as a storage that does not respond, or an"
        " error after which it will try again."
    )
    storage_silent_since: Timestamp | None = Field(
        description="When the storage fell silent; null while data arrives."
    )
    next_try_at: Timestamp | None = Field(description="When the next try begins.")
    retry_of: int | None = Field(description="The job that this one tries again.")
    attempt: int = Field(description="How many times a worker has started it.")
    seq: int = Field(description="Grows with every change of this job, as in the live events.")
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    phase: str | None = Field(
        description="Phase of a running job: scanning, transferring, checking or finishing."
    )
    bytes_transferred: int
    total_bytes: int | None = Field(description="Null while it is not known.")
    percent: float | None = Field(description="0 to 100; null while the total is not known.")
    speed_bytes: int = Field(description="Bytes a second.")
    allowed_bytes: int | None = Field(
        description="The most bytes a second that a running job may move now, by its own limit and"
        " its share of the bandwidth budgets; null for no limit. A share changes while other jobs"
        " come and go."
    )
    eta_seconds: int | None
    files_transferred: int
    files_total: int
    left_out: LeftOut
    files_unchanged: int = Field(
        description="Files that both sides had already, or that a check found to be the same. A"
        " lower bound while the job runs and if it failed."
    )
    files_deleted: int = Field(description="Files that a sync has deleted at the destination.")
    compared_by: str | None = Field(
        description="How files were compared: by `hash`, `size_and_time`, `size` or `bytes`"
        " (existing files were read, or written again). Null until it is known."
    )
    time_precision_seconds: int | None = Field(
        description="1 if times were compared to the second, because a storage keeps no fractions:"
        " two versions of the same length within one second count as the same. Otherwise null."
    )
    compared_by_size: Names | None = Field(
        description="Files without a hash at the storage (objects that were uploaded in parts):"
        " only their size was compared, although `compared_by` is `hash`. Null if there are none."
    )
    partial_files: list[str] = Field(
        description="Incomplete files that may remain at the destination, because its storage was"
        " lost before they could be removed; `*` stands for eight digits. A retry of this job"
        " removes or rewrites them."
    )
    outcome: str | None = Field(
        description="Result of a completed check: `equal` or `different`. Otherwise null."
    )
    differences: Differences | None = Field(
        description="Differences that a check, or the verification after a copy, has found."
    )
    error: str | None = Field(description="Why it failed, in words.")
    error_lines: list[str] = Field(description="The last messages of rclone, if the job failed.")
    exit_code: int | None = Field(description="Exit code of rclone.")


def to_full_shape(job: models.Job) -> Job:
    """The job with the lists of names that no list of jobs contains."""
    job_shape = shown(job)
    if job_shape.differences is None or job.difference_names is None:
        return job_shape
    named = {
        kind: {"count": one.count, "names": job.difference_names.get(kind, one.names)}
        for kind, one in job_shape.differences
    }
    return job_shape.model_copy(update={"differences": Differences.model_validate(named)})


def shown(job: models.Job, queued: Queued | None = None) -> Job:
    """``queued``: see ``queue_position``; it is looked up if it is not given."""
    queued = queued or queue_position.of([job]).get(job.id)
    columns = {name: getattr(job, name) for name in Job.model_fields if hasattr(job, name)}
    chosen = JobOptions.model_validate(from_json(job.options))
    named = {
        "options": chosen,
        "allowed_bytes": allowed_now(job),
        "plan": _plan(job.plan),
        "differences": job.differences and Differences.model_validate(job.differences),
        "confirms": job.confirms_id,
        "paused": job.paused_at is not None,
        "queue_place": queued and queued.position,
        "waiting_for": queued and WaitingFor(reason=queued.reason, job_id=queued.job_id),
        "owner": job.owner.username,
        "retry_of": job.retry_of_id,
        "left_out": _left_out(job),
        "compared_by": compared.in_short(job.compared_by),
        "time_precision_seconds": compared.precision(job.compared_by),
        "compared_by_size": _by_size(job),
        "partial_files": (job.left_out_names or {}).get("may_remain", []),
    }
    return Job(**columns | named)


def _left_out(job: models.Job) -> LeftOut:
    left_out = job.left_out_names or {}
    names = {name: left_out[name] for name in LeftOut.model_fields if name in left_out}
    return LeftOut(links=job.links_left_out, specials=job.specials_left_out, **names)


def _by_size(job: models.Job) -> Names | None:
    left_out = job.left_out_names or {}
    number = left_out.get("by_size", 0)
    return Names(count=number, names=left_out["first_by_size"]) if number else None


def _plan(stored: dict[str, Any] | None) -> Plan | None:
    if stored is None:
        return None
    return Plan(**{name: stored[name] for name in Plan.model_fields if name in stored})
