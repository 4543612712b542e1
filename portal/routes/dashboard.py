from flask import Blueprint, render_template
from werkzeug.wrappers import Response

from portal import memo
from portal.access import background, me, requires
from portal.models import Role
from portal.routes.fragments import fragment, tag_of, unchanged
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
    zone = me().settings.timezone
    html, tag = memo.figures.get(zone, lambda: _figures(zone))
    return unchanged(tag) or fragment(html, tag)


def _figures(zone: str) -> tuple[str, str]:
    html = render_template("dashboard/_stats.html", statistics=statistics.gather(zone))
    return html, tag_of(html)
