from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal.models import Role
from portal.services import workers
from portal.services.runtime import runtime
from portal.web.access import actor, requires

blueprint = Blueprint("workers", __name__, url_prefix="/workers")


@blueprint.get("")
@requires(Role.ADMIN)
def index() -> str:
    listed = workers.listing()
    present = [one for one in listed if one.state in workers.PRESENT]
    return render_template(
        "workers/page.html",
        scale_out=runtime().settings.scale_out,
        workers=present,
        gone=[one for one in listed if one not in present],
    )


@blueprint.post("/<id:worker_id>/pause")
@requires(Role.ADMIN)
def pause(worker_id: int) -> Response:
    workers.pause(worker_id, actor=actor())
    return _done("The worker accepts no new jobs until you resume it.")


@blueprint.post("/<id:worker_id>/resume")
@requires(Role.ADMIN)
def resume(worker_id: int) -> Response:
    workers.resume(worker_id, actor=actor())
    return _done("The worker accepts jobs again.")


@blueprint.post("/<id:worker_id>/drain")
@requires(Role.ADMIN)
def drain(worker_id: int) -> Response:
    workers.drain(worker_id, actor=actor())
    return _done("The worker finishes its jobs, then stops.")


def _done(message: str) -> Response:
    flash(message)
    return redirect(url_for("workers.index"), 303)
