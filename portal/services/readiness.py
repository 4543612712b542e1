"""Which of the parts that the portal stands on work now."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portal.database import session
from portal.engine import KnownMounts, confinement_problem, rclone_path
from portal.services import workers
from portal.settings import Settings


def parts(app: Flask) -> dict[str, str]:
    """``ok``, or a sentence, for ``database``, ``queue``, ``rclone`` and ``roots``; for ``workers``
    in place of the roots where they run the jobs. They looked at their rclone when they started."""
    own_rclone = app.extensions["rclone_problem"] or "ok"
    found = {"database": _database(), "queue": _queue(app), "rclone": own_rclone}
    if app.extensions["settings"].scale_out:
        found["workers"] = found["rclone"] = _workers()
    else:
        found["roots"] = _roots(app.extensions["settings"])
    return found


def unconfined(settings: Settings) -> str | None:
    """Why the rclone of this machine can reach more than its own job, in a few words."""
    if settings.scale_out:
        return None  # the workers say so when they start
    problem = confinement_problem(rclone_path(settings.rclone))
    return f"rclone is not confined: {problem}" if problem else None


def _roots(settings: Settings) -> str:
    # Where others run the jobs, the folders are on their machines.
    return " ".join(KnownMounts(settings.data_dir, settings.transfer_roots).problems()) or "ok"


def _database() -> str:
    try:
        session.execute(text("SELECT 1 FROM jobs LIMIT 1"))
    except SQLAlchemyError as error:
        session.rollback()
        return f"The database does not answer: {type(error).__name__}"
    return "ok"


def _queue(app: Flask) -> str:
    if app.extensions["delayed"]():
        return "Redis does not answer: live updates are delayed, and new jobs start a little later."
    if not app.extensions["executor"].is_alive():
        return "The threads that run transfers have stopped."
    return "ok"


def _workers() -> str:
    try:
        return "ok" if workers.any_lives() else "No worker is running: new jobs wait."
    except SQLAlchemyError as error:
        session.rollback()
        return f"Unknown, for the database does not answer: {type(error).__name__}"
