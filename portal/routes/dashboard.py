from flask import Blueprint, Response, make_response, render_template

from portal.access import background, me, requires
from portal.models import Role
from portal.services import jobs, statistics

blueprint = Blueprint("dashboard", __name__)


@blueprint.get("/")
@requires(Role.VIEWER)
def index() -> str:
    return render_template(
        "dashboard/page.html",
        statistics=statistics.gather(me().settings.timezone),
        running=jobs.running(),
        events=jobs.latest_events(),
    )


@blueprint.get("/api/dashboard/stats")
@requires(Role.VIEWER)
@background
def stats() -> Response:
    figures = statistics.gather(me().settings.timezone)
    return make_response(render_template("dashboard/_stats.html", statistics=figures))
