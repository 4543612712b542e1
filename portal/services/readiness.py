"""Which of the parts that the portal stands on work now."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portal.database import session


def parts(app: Flask) -> dict[str, str]:
    """``ok``, or a sentence, for ``database``, ``queue`` and ``rclone``."""
    return {
        "database": _database(),
        "queue": _queue(app),
        "rclone": app.extensions["rclone_problem"] or "ok",
    }


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
