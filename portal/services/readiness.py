"""Whether the parts that the portal depends on work now."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portal.db.session import full_disk, lost_file, session
from portal.engine import KnownMounts, confinement_problem, rclone_path, rclone_problem
from portal.realtime import publish
from portal.services import workers
from portal.services.runtime import runtime
from portal.settings import Settings


def parts() -> dict[str, str]:
    """Returns ``ok`` or a sentence for each of ``database``, ``queue``, ``rclone`` and ``roots``;
    in scale-out mode also for ``workers``.

    Workers check their rclone when they start, so a living worker has a suitable one. Parts on this
    machine are checked at each call.
    """
    settings = runtime().settings
    found = {"database": _database(), "queue": _queue()}
    if settings.scale_out:
        found["workers"] = _workers()
        lives = found["workers"] == "ok"
        found["rclone"] = "ok" if lives else "Unknown: no worker has reported on rclone."
        found["roots"] = _roots_of_workers()
    else:
        found["rclone"] = rclone_problem(rclone_path(settings.rclone)) or "ok"
        found["roots"] = _roots(settings)
    return found


def why_unconfined(settings: Settings) -> str | None:
    """Returns in a few words why the rclone of this machine can reach more than its own job."""
    if settings.scale_out:
        return None  # the workers say so when they start
    problem = confinement_problem(rclone_path(settings.rclone), [settings.data_dir])
    return f"rclone is not confined: {problem}" if problem else None


def _roots(settings: Settings) -> str:
    # In scale-out mode the folders are on the workers' machines.
    return " ".join(KnownMounts(settings.data_dir, settings.transfer_roots).problems()) or "ok"


def _roots_of_workers() -> str:
    try:
        return " ".join(workers.root_problems()) or "ok"
    except SQLAlchemyError as error:
        session.rollback()
        return f"Unknown: the database does not answer ({type(error).__name__})."


def _database() -> str:
    try:
        session.execute(text("SELECT 1 FROM jobs LIMIT 1"))
    except SQLAlchemyError as error:
        session.rollback()
        return f"The database does not answer: {type(error).__name__}"
    if lost := lost_file(session.connection()):
        session.rollback()
        return (
            f"The database's file {lost} was removed or replaced while the portal uses it. What "
            "changes now is lost: stop the portal, put the file in its place, and start it again."
        )
    if full := full_disk(session.connection()):
        session.rollback()
        return (
            "There is no room left on the disk of the database: nothing more can be stored. "
            f"Free some space at {full}"
        )
    return "ok"


def _queue() -> str:
    if publish.delayed():
        return "Redis does not answer: live updates are delayed, and new jobs start a little later."
    if not runtime().executor.is_alive():
        return "The threads that run transfers have stopped."
    return "ok"


def _workers() -> str:
    try:
        return "ok" if workers.any_lives() else "No worker is running: new jobs wait."
    except SQLAlchemyError as error:
        session.rollback()
        return f"Unknown: the database does not answer ({type(error).__name__})."
