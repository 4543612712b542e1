from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template
from werkzeug.wrappers import Response

from portal.models import Job, Role
from portal.presentation import charts
from portal.services.jobs import speeds
from portal.web.access import background, job_or_404, requires
from portal.web.routes.fragments import fragment, tag_of, unchanged

blueprint = Blueprint("job_speeds", __name__)


@blueprint.get("/api/jobs/<big_id:job_id>/speed")
@requires(Role.VIEWER)
@background
def show(job_id: int) -> Response:
    job = job_or_404(job_id)
    html = render_template("jobs/_chart.html", job=job, **chart_of(job))
    tag = tag_of(html)
    return unchanged(tag) or fragment(html, tag)


def chart_of(job: Job) -> dict[str, Any]:
    """Returns the values for the template."""
    chart = charts.of_job(job, speeds.of(job))
    return {"chart": chart, "chart_removed_at": None if chart else speeds.removed_at(job)}
