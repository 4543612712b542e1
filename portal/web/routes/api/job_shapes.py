"""The JSON shapes of a job."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from portal import models
from portal.services.jobs import queue_position
from portal.services.jobs.queue_position import Queued
from portal.transfers import compared
from portal.transfers.options import from_json
from portal.transfers.states import JobStatus, Operation
from portal.web.routes.api.option_shapes import OptionsResponse
from portal.web.routes.api.shapes import ResponseBody, Timestamp


class JobOptions(OptionsResponse):
    """How it is done."""

    timezone: str = Field(description="By whose clock a timetable of the bandwidth limit runs.")


class PlannedFile(ResponseBody):
    name: str
    size: int


class Plan(ResponseBody):
    """What a dry run found it would do."""

    copies: int = Field(0, description="Files.")
    unchanged: int | None = Field(
        None, description="Files that both sides have already; null of an older dry run."
    )
    copy_bytes: int = 0
    deletes: int = Field(0, description="Files; of a move, those at the source.")
    delete_bytes: int = 0
    first_copies: list[PlannedFile] = Field([], description="The first ten by name.")
    first_deletes: list[PlannedFile] = Field([], description="The first ten by name.")


class LeftOut(ResponseBody):
    """What was not taken because it is no file, because the destination cannot hold it, or because
    it seems to be no whole file."""

    links: int = Field(description="Symbolic links.")
    specials: int = Field(description="Devices, FIFOs and sockets.")
    names: int = Field(0, description="Names that the destination cannot hold.")
    first_names: list[str] = Field([], description="The first ten of these.")
    empty_folders: int = Field(0, description="Where the destination holds no empty folder.")
    partials: int = Field(
        0,
        description="Files of a local source that are named like incomplete ones of the portal's:"
        " photo.jpg.32a46c13.portal3f-1.",
    )
    first_partials: list[str] = Field([], description="The first ten of these.")


class Names(ResponseBody):
    count: int
    names: list[str] = Field(description="The first ten.")


class WaitingFor(ResponseBody):
    """Why a queued job does not run yet."""

    reason: queue_position.Reason = Field(
        description="destination: another job, job_id, writes to the same folder, to one in it or"
        " to one that holds it. slot: no place is free. paused: a person has it stand still."
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
        description="Of a completed dry run: what it would do. Of a job that was confirmed: what"
        " had been shown."
    )
    confirms: int | None = Field(
        description="The dry run that was confirmed; null of a job that nobody had to confirm."
    )
    owner: str = Field(description="User name of whoever created it.")
    pool: str | None = Field(
        description="Whose workers alone run it; null for those of no special pool."
    )
    status: JobStatus
    paused: bool = Field(description="Whether a person has it stand still.")
    queue_place: int | None = Field(
        description="Of a queued job: 1 if it is the next of its pool. Null behind the first 1,000."
    )
    waiting_for: WaitingFor | None = Field(description="Null of a job that is not queued.")
    trouble: str | None = Field(
        description="While it runs: what stands in its way, such as a storage from which nothing"
        " arrives, or an error after which it tries again."
    )
    storage_silent_since: Timestamp | None = Field(
        description="Since when nothing has arrived; null while bytes come."
    )
    next_try_at: Timestamp | None = Field(description="When it tries again.")
    retry_of: int | None = Field(description="The job that this one tries again.")
    attempt: int = Field(description="How often a worker has begun it.")
    seq: int = Field(description="Grows with every change of this job, as in the live events.")
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    phase: str | None = Field(
        description="While it runs: scanning, transferring, checking or finishing."
    )
    bytes_transferred: int
    total_bytes: int | None = Field(description="Null while it is not known.")
    percent: float | None = Field(description="0 to 100; null while the total is not known.")
    speed_bytes: int = Field(description="Bytes a second.")
    eta_seconds: int | None
    files_transferred: int
    files_total: int
    left_out: LeftOut
    files_unchanged: int = Field(
        description="Files that both sides had already, or that a check has found to be the same;"
        " while it runs and of one that failed, at least so many."
    )
    files_deleted: int = Field(description="Files that a sync has deleted at the destination.")
    compared_by: str | None = Field(
        description="By what files were judged to be equal: `hash`, `size_and_time`, `size` or"
        " `bytes` (what was there already was read, or written once more). Null until it is known."
    )
    time_precision_seconds: int | None = Field(
        description="1 where times were compared to the second, because a storage keeps no more:"
        " two versions of one length from within one second count as the same. Null of anything"
        " else."
    )
    compared_by_size: Names | None = Field(
        description="Files that have no hash at the storage (objects that were sent in parts), so"
        " that only their size was compared although `compared_by` is `hash`. Null if there are"
        " none."
    )
    partial_files: list[str] = Field(
        description="Files that are not whole and may remain at the destination, because a storage"
        " that broke off could not be tidied up; `*` stands for eight digits. A retry of this job"
        " removes them or writes them anew."
    )
    outcome: str | None = Field(
        description="Of a check that completed: `equal` or `different`. Null of anything else."
    )
    differences: Differences | None = Field(
        description="Of a check, or a verification after a copy, that has found any."
    )
    error: str | None = Field(description="Why it failed, in words.")
    error_lines: list[str] = Field(description="What rclone said last, of a failed job.")
    exit_code: int | None = Field(description="rclone's.")


def shown_in_full(job: models.Job) -> Job:
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
