from dataclasses import replace
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.errors import Invalid, NotFound, TooMany, TooManyJobs
from portal.models import Job, Role
from portal.presentation.formatting import relative
from portal.presentation.job_words import age
from portal.presentation.result_words import difference_lists
from portal.realtime import cache
from portal.services import workers
from portal.services.jobs import control, listing, plans, queue_position, statistics
from portal.services.jobs.create import create as create_job
from portal.services.jobs.create import retry as retry_job
from portal.services.runtime import runtime
from portal.services.storage import folders, remotes
from portal.transfers.scheduling import Priority
from portal.transfers.states import JobStatus
from portal.web.access import actor, background, job_or_404, may_change, me, requires
from portal.web.error_pages import is_htmx
from portal.web.forms.jobs import (
    OPERATIONS,
    BandwidthForm,
    ConfirmPlanForm,
    JobForm,
)
from portal.web.rate_limits import RequestKind, limited_as
from portal.web.routes.fragments import fragment, tag_of, unchanged
from portal.web.routes.job_logs import TAIL_LINES, end_of
from portal.web.routes.job_speeds import chart_of
from portal.web.routes.paging import page_number

blueprint = Blueprint("jobs", __name__)

FILTERS = ("running", "queued", "failed", "completed", "cancelled", "interrupted")


@blueprint.get("/jobs")
@requires(Role.VIEWER)
def index() -> str:
    status = request.args.get("status") or None
    if status is not None and status not in tuple(JobStatus):
        raise NotFound("There is no such status.")
    text = listing.search_words(request.args.get("q", ""))
    page = listing.listing(status, text, page_number())
    return render_template(
        "jobs/page.html",
        page=page,
        queued=queue_position.of(page.jobs),
        counts=listing.counts(),
        failed_today=statistics.failed_today(me().settings.timezone),
        status=status,
        text=text,
        filters=FILTERS,
    )


@blueprint.get("/jobs/new")
@requires(Role.OPERATOR)
def new() -> str:
    return _form(JobForm())


@blueprint.post("/jobs")
@requires(Role.OPERATOR)
def create() -> Response | tuple[str, int]:
    form = JobForm()
    try:
        transfer = form.transfer(
            runtime().roots,
            remotes.names(me()),
            me().settings.timezone,
            workers.pools(),
        )
        if form.wants_plan and transfer.operation.deletes:
            transfer = replace(transfer, dry_run=True)
        with form.beside_fields():
            job = create_job(transfer, actor=actor())
    except Invalid:
        return _form(form), 422
    except TooManyJobs as refused:
        return _form(form, refused=refused.message), refused.status
    return redirect(url_for("jobs.show", job_id=job.id), 303)


@blueprint.post("/jobs/preview")
@requires(Role.OPERATOR)
@limited_as(RequestKind.STORAGES)
def preview() -> str | tuple[str, int] | tuple[str, int, dict[str, str]]:
    """Shows the form again, with the files of its source that pass its filters."""
    form = JobForm()
    roots = runtime().roots
    try:
        source, options = form.selection(roots, remotes.names(me()))
    except Invalid:
        return _form(form, unfolded=True), 422
    try:
        found = folders.matching(source, options, actor=actor())
    except TooMany as busy:
        page = _form(form, unfolded=True, busy=busy.message)
        return page, 429, {"Retry-After": str(busy.seconds)}
    return _form(form, unfolded=True, matching=found, looked_at=source)


@blueprint.get("/jobs/<big_id:job_id>")
@requires(Role.VIEWER)
def show(job_id: int) -> str:
    return _page(job_or_404(job_id), ConfirmPlanForm())


@blueprint.post("/jobs/<big_id:job_id>/confirm")
@requires(Role.OPERATOR)
def confirm(job_id: int) -> Response | tuple[str, int]:
    shown = job_or_404(job_id, to_change=True)
    form = ConfirmPlanForm()
    try:
        job, _ = plans.confirm(shown.id, form.confirm.data or "", actor=actor())
    except Invalid as invalid:
        form.confirm.errors = [invalid.errors["confirm"]]
        return _page(shown, form), 422
    return redirect(url_for("jobs.show", job_id=job.id), 303)


@blueprint.get("/api/jobs/<big_id:job_id>/progress")
@requires(Role.VIEWER)
@background
def progress(job_id: int) -> Response:
    job = job_or_404(job_id)
    user = me()
    if not may_change(job, user):
        key = (job.id, user.settings.timezone, request.script_root)
        kept = cache.caches().rows.get(key, lambda: _plain_row(job))
        return unchanged(kept.tag) or fragment(kept.html, kept.tag)
    # The values that the row is built from. The age of the figures is one of them: otherwise a page
    # would take a kept answer with old figures for a new one.
    started = relative(job.started_at or job.created_at)
    tag = tag_of(
        job.id, job.seq, age(job), started, user.session_id, user.role, user.settings.timezone
    )
    return unchanged(tag) or fragment(_row(job), tag)


@blueprint.post("/jobs/<big_id:job_id>/cancel")
@requires(Role.OPERATOR)
def cancel(job_id: int) -> Response | str:
    job_or_404(job_id, to_change=True)
    return _acted(control.cancel(job_id, actor=actor()))


@blueprint.post("/jobs/<big_id:job_id>/retry")
@requires(Role.OPERATOR)
def retry(job_id: int) -> Response | str:
    old = job_or_404(job_id, to_change=True)
    return _acted(retry_job(old, actor=actor()))


@blueprint.post("/jobs/<big_id:job_id>/pause")
@requires(Role.OPERATOR)
def pause(job_id: int) -> Response | str:
    job_or_404(job_id, to_change=True)
    return _acted(control.pause(job_id, actor=actor()))


@blueprint.post("/jobs/<big_id:job_id>/resume")
@requires(Role.OPERATOR)
def resume(job_id: int) -> Response | str:
    job_or_404(job_id, to_change=True)
    return _acted(control.resume(job_id, actor=actor()))


@blueprint.post("/jobs/<big_id:job_id>/priority")
@requires(Role.ADMIN)
def prioritise(job_id: int) -> Response | str:
    job_or_404(job_id, to_change=True)
    values = {str(int(one)): one for one in Priority}
    priority = values.get(request.form.get("priority", ""))
    if priority is None:
        raise Invalid({"priority": "Choose high (1), normal (0) or low (-1)."})
    return _acted(control.prioritise(job_id, priority, actor=actor()))


@blueprint.post("/jobs/<big_id:job_id>/bandwidth")
@requires(Role.OPERATOR)
def bandwidth(job_id: int) -> Response | tuple[str, int]:
    job = job_or_404(job_id, to_change=True)
    form = BandwidthForm()
    try:
        limit = form.limit()
    except Invalid:
        return _page(job, ConfirmPlanForm(), form), 422
    control.limit(job_id, limit, actor=actor())
    return redirect(url_for("jobs.show", job_id=job_id), 303)


def _acted(job: Job) -> Response | str:
    return _row(job) if is_htmx() else redirect(url_for("jobs.show", job_id=job.id), 303)


def _plain_row(job: Job) -> cache.Row:
    html = _row(job)
    return cache.Row(html, tag_of(html), job.owner_id)


def _page(job: Job, confirmation: ConfirmPlanForm, speed: BandwidthForm | None = None) -> str:
    # When a page fetches its region again, it follows the log by itself.
    log = {} if is_htmx() else end_of(job, TAIL_LINES)
    return render_template(
        "jobs/job.html",
        job=job,
        queued=queue_position.of([job]),
        events=listing.events_of(job.id),
        **log,
        **chart_of(job),
        # Done here and not in the template: only this page needs their names.
        differences=difference_lists(job) if job.differences else [],
        speed=speed or BandwidthForm(bandwidth_limit=job.bandwidth_limit),
        confirmation=confirmation if plans.confirmable(job) else None,
        confirmed_by=plans.confirmed_by(job.id) if job.dry_run else None,
    )


def _row(job: Job) -> str:
    return render_template("jobs/_row.html", job=job, queued=queue_position.of([job]))


def _form(form: JobForm, **shown: Any) -> str:
    roots = runtime().roots
    form.offer(workers.pools())
    return render_template(
        "jobs/new.html",
        form=form,
        operations=OPERATIONS,
        roots=roots,
        remotes=remotes.usable(me()),
        **shown,
    )
