from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from portal.errors import NotFound
from portal.models import Role
from portal.presentation import charts
from portal.presentation.charts import Period, Throughput
from portal.realtime.cache import TTLCache, caches
from portal.runtime.context import current
from portal.services.jobs import listing, queue_position, statistics
from portal.web.access import background, me, requires
from portal.web.routes.fragments import fragment, tag_of, unchanged

blueprint = Blueprint("dashboard", __name__)


class _Throughputs(TTLCache[Throughput]):
    """The curve of each period, cached for a second."""

    def __init__(self) -> None:
        super().__init__(1.0)


@blueprint.get("/")
@requires(Role.VIEWER)
def index() -> str:
    zone = me().settings.timezone
    wanted = request.args.get("period") or Period.HOUR
    if wanted not in tuple(Period):
        raise NotFound("There is no such period.")
    period = Period(wanted)
    throughput = current()[_Throughputs].get(period, lambda: statistics.throughput(period))
    running = listing.running()
    return render_template(
        "dashboard/page.html",
        statistics=statistics.gather(zone),
        throughput=throughput,
        chart=charts.of_throughput(throughput, zone) if throughput.moved else None,
        running=running,
        queued=queue_position.of(running),
        events=listing.latest_events(),
    )


@blueprint.get("/api/dashboard/stats")
@requires(Role.VIEWER)
@background
def stats() -> Response:
    zone = me().settings.timezone
    html, tag = caches().figures.get((zone, request.script_root), lambda: _figures(zone))
    return unchanged(tag) or fragment(html, tag)


def _figures(zone: str) -> tuple[str, str]:
    html = render_template("dashboard/_stats.html", statistics=statistics.gather(zone))
    return html, tag_of(html)
