from __future__ import annotations

from flask import url_for
from pydantic import Field

from portal import models
from portal.models import Role
from portal.services import workers
from portal.services.jobs import control, create, idempotency, listing, plans, queue_position
from portal.services.jobs import (
    control as jobs,
)
from portal.services.jobs.idempotency import IdempotentRequest
from portal.services.runtime import runtime
from portal.services.storage import remotes
from portal.transfers import validation
from portal.transfers.options import OPTIONS
from portal.transfers.pools import POOL_LENGTH
from portal.transfers.request import Transfer
from portal.transfers.scheduling import Priority
from portal.transfers.states import JobStatus, Operation
from portal.web.access import actor, job_or_404, me
from portal.web.routes.api.job_shapes import Job, shown, to_full_shape
from portal.web.routes.api.operations import Answer, operation
from portal.web.routes.api.option_shapes import OptionsRequest
from portal.web.routes.api.paging import (
    LINKS,
    Paged,
    Pages,
    answer_page,
)
from portal.web.routes.api.shapes import Query, RequestBody

_PATH_LENGTH = 4095
_TOO_LATE = "The job is no longer in a state that allows this."
_LOCATION = {"Location": "Path of the job."}


class JobPage(Paged):
    items: list[Job]


class JobsQuery(Pages):
    status: JobStatus | None = Field(
        None, description="Only jobs of this status; those that are cancelling count as running."
    )
    q: str = Field(
        "", max_length=listing.SEARCH_LENGTH, description="Text in the name, source or destination."
    )


class NewJob(OptionsRequest):
    """What a transfer is to do. A path is a full path below a folder that is open to
    transfers, or ``name:path`` of a remote."""

    name: str = Field(min_length=1, max_length=validation.NAME_LENGTH)
    operation: Operation
    source: str = Field(min_length=1, max_length=_PATH_LENGTH)
    destination: str = Field(min_length=1, max_length=_PATH_LENGTH)
    bandwidth_limit: str | None = Field(
        None,
        max_length=validation.BANDWIDTH_LENGTH,
        description="A number and a unit for each second: 10M is 10 MiB; 10MB/s and 100Mbit/s are"
        " accepted too. Or a timetable in the time zone of your settings, such as 08:00,10M"
        " 19:00,off. Responses use rclone's form.",
    )
    dry_run: bool = Field(False, description="Report what would happen, change nothing.")
    pool: str | None = Field(
        None,
        max_length=POOL_LENGTH,
        description="Pool whose workers run it, such as those at the site of its storage. Without"
        " it, workers without a pool run it.",
    )

    def transfer(self) -> Transfer:
        """Validates as the form does. Raises Invalid."""
        return validation.validate_transfer(
            name=self.name,
            operation=self.operation,
            source=self.source,
            destination=self.destination,
            bandwidth_limit=self.bandwidth_limit or "",
            dry_run=self.dry_run,
            roots=runtime().roots,
            remotes=remotes.names(me()),
            raw={option.name: getattr(self, option.name) for option in OPTIONS},
            timezone=me().settings.timezone,
            pool=self.pool or "",
            pools=workers.pools(),
        )


class NewLimit(RequestBody):
    bandwidth_limit: str | None = Field(
        max_length=validation.BANDWIDTH_LENGTH,
        description="As for a new job; null or empty for no limit.",
    )


class NewPriority(RequestBody):
    priority: Priority = Field(description="-1, 0 or 1: the highest runs first.")


class Confirmation(RequestBody):
    confirm: str = Field(
        "",
        max_length=validation.NAME_LENGTH,
        description="The number of files that the job deletes, or its name. Not needed if it"
        " deletes none.",
    )


class IdempotencyHeaders(Query):
    key: str | None = Field(
        None,
        alias=idempotency.HEADER,
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="A text of your choice, such as a UUID. For 24 hours another request with the"
        " same key and body returns the first job and creates no other.",
    )


@operation(
    "GET",
    "/jobs",
    right=Role.VIEWER,
    query=JobsQuery,
    shape=JobPage,
    answers={200: "Jobs of one page. A page after the last is empty."},
    answer_headers=LINKS,
)
def list_jobs(query: JobsQuery) -> Answer:
    """List jobs

    Running jobs come first, then the newest. With the status queued: in the order in which they
    will run.
    """
    page = listing.listing(query.status, listing.search_words(query.q), query.page, query.per_page)
    jobs_shown = page.jobs if page.number == query.page else []
    queued = queue_position.of(jobs_shown)
    items = [shown(job, queued.get(job.id)) for job in jobs_shown]
    return answer_page(JobPage, items, query, pages=page.pages, total=page.total)


@operation(
    "POST",
    "/jobs",
    right=Role.OPERATOR,
    body=NewJob,
    headers=IdempotencyHeaders,
    shape=Job,
    answers={
        201: "The new job. It starts right away, or queues if all slots are busy.",
        200: "The job that was created with this key before.",
    },
    refusals={429: "You have as many open jobs as one user may have, or sent too many requests."},
    answer_headers=_LOCATION,
)
def create_job(body: NewJob, headers: IdempotencyHeaders) -> Answer:
    """Create a job

    A sync or a move that is not a dry run starts without confirmation. To see first what it
    deletes, create a dry run and confirm it.
    """
    transfer, new = body.transfer(), True
    if headers.key is None:
        job = create.create(transfer, actor=actor())
    else:
        idempotent = IdempotentRequest(headers.key, body.model_dump_json())
        job, new = create.create_once(transfer, idempotent, actor=actor())
    return _located(job, 201 if new else 200)


@operation(
    "GET",
    "/jobs/<big_id:job_id>",
    right=Role.VIEWER,
    shape=Job,
    answers={200: "The job as of now."},
)
def get_job(job_id: int) -> Job:
    """Get one job"""
    return to_full_shape(job_or_404(job_id))


@operation(
    "POST",
    "/jobs/<big_id:job_id>/cancel",
    right=Role.OPERATOR,
    shape=Job,
    answers={200: "The job, cancelled or cancelling. Asking again changes nothing."},
    refusals={409: "It has already completed or failed."},
)
def cancel_job(job_id: int) -> Job:
    """Cancel a job

    Operators may cancel their own jobs, admins everyone's. A running job is cancelling until its
    rclone has ended.
    """
    job_or_404(job_id, to_change=True)
    return shown(jobs.cancel(job_id, actor=actor()))


@operation(
    "POST",
    "/jobs/<big_id:job_id>/pause",
    right=Role.OPERATOR,
    shape=Job,
    answers={200: "The job, paused. Asking again changes nothing."},
    refusals={409: "It is not running."},
)
def pause_job(job_id: int) -> Job:
    """Pause a running job

    Operators may pause their own jobs, admins everyone's. rclone stops working, and the
    status stays running. After a while the job gives its slot back.
    """
    job_or_404(job_id, to_change=True)
    return shown(control.pause(job_id, actor=actor()))


@operation(
    "POST",
    "/jobs/<big_id:job_id>/resume",
    right=Role.OPERATOR,
    shape=Job,
    answers={200: "The job, resumed. Asking again changes nothing."},
    refusals={409: _TOO_LATE},
)
def resume_job(job_id: int) -> Job:
    """Resume a paused job

    Operators may resume their own jobs, admins everyone's.
    """
    job_or_404(job_id, to_change=True)
    return shown(control.resume(job_id, actor=actor()))


@operation(
    "POST",
    "/jobs/<big_id:job_id>/bandwidth",
    right=Role.OPERATOR,
    body=NewLimit,
    shape=Job,
    answers={200: "The job. The limit takes effect within two seconds."},
    refusals={409: _TOO_LATE},
)
def limit_job(job_id: int, body: NewLimit) -> Job:
    """Change the bandwidth limit of a job that runs or waits

    Operators may change their own jobs, admins everyone's.
    """
    job_or_404(job_id, to_change=True)
    limit = validation.validate_bandwidth(body.bandwidth_limit or "")
    return shown(control.limit(job_id, limit, actor=actor()))


@operation(
    "POST",
    "/jobs/<big_id:job_id>/priority",
    right=Role.ADMIN,
    body=NewPriority,
    shape=Job,
    answers={200: "The job. Of those that wait, the ones with the highest priority run first."},
    refusals={409: _TOO_LATE},
)
def prioritise_job(job_id: int, body: NewPriority) -> Job:
    """Change the priority of a job

    Only admins may do this.
    """
    job_or_404(job_id, to_change=True)
    return shown(control.prioritise(job_id, body.priority, actor=actor()))


@operation(
    "POST",
    "/jobs/<big_id:job_id>/confirm",
    right=Role.OPERATOR,
    body=Confirmation,
    shape=Job,
    answers={
        201: "The new job, which does what the dry run has shown. It checks again before it"
        " starts, and fails if it would delete anything else.",
        200: "The job that was created when this dry run was confirmed before.",
    },
    refusals={409: "This is no completed dry run of a sync or a move."},
    answer_headers=_LOCATION,
)
def confirm_job(job_id: int, body: Confirmation) -> Answer:
    """Confirm a dry run

    Operators may confirm their own dry runs, admins everyone's.
    """
    dry_run = job_or_404(job_id, to_change=True)
    job, new = plans.confirm(dry_run.id, body.confirm, actor=actor())
    return _located(job, 201 if new else 200)


@operation(
    "POST",
    "/jobs/<big_id:job_id>/retry",
    right=Role.OPERATOR,
    shape=Job,
    answers={200: "The retry. Asking again while it is not over returns the same job."},
    refusals={409: _TOO_LATE},
    answer_headers=_LOCATION,
)
def retry_job(job_id: int) -> Answer:
    """Retry a failed, cancelled or interrupted job

    Operators may retry their own jobs, admins everyone's. A retry is a new job. The
    retry of a confirmed job is a dry run, which has to be confirmed again.
    """
    old = job_or_404(job_id, to_change=True)
    return _located(create.retry(old, actor=actor()), 200)


def _located(job: models.Job, status: int) -> Answer:
    return Answer(shown(job), status, {"Location": url_for("api.get_job", job_id=job.id)})
