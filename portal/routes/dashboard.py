from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from portal import charts, memo
from portal.access import background, me, requires
from portal.errors import NotFound
from portal.models import Role
from portal.routes.fragments import fragment, tag_of, unchanged
from portal.services import jobs, statistics
from portal.services.statistics import Period, Throughput

blueprint = Blueprint("dashboard", __name__)

_throughput: memo.Memo[Throughput] = memo.Memo(1.0)


@blueprint.get("/")
@requires(Role.VIEWER)
def index() -> str:
    zone = me().settings.timezone
    wanted = request.args.get("period") or Period.HOUR
    if wanted not in tuple(Period):
        raise NotFound("There is no such period.")
    period = Period(wanted)
    throughput = _throughput.get(period, lambda: statistics.throughput(period))
    return render_template(
        "dashboard/page.html",
        statistics=statistics.gather(zone),
        throughput=throughput,
        chart=charts.of_throughput(throughput, zone) if throughput.moved else None,
        running=jobs.running(),
        events=jobs.latest_events(),
    )


@blueprint.get("/api/dashboard/stats")
@requires(Role.VIEWER)
@background
def stats() -> Response:
    zone = me().settings.timezone
    html, tag = memo.figures.get((zone, request.script_root), lambda: _figures(zone))
    return unchanged(tag) or fragment(html, tag)


def _figures(zone: str) -> tuple[str, str]:
    html = render_template("dashboard/_stats.html", statistics=statistics.gather(zone))
    return html, tag_of(html)
