"""Which of the parts that the portal stands on work now."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portal.database import session


def parts(app: Flask) -> dict[str, str]:
    """``ok``, or a sentence, for ``database``, ``queue`` and ``rclone``."""
    problem = app.extensions["rclone_problem"]
    alive = app.extensions["executor"].is_alive()
    return {
        "database": _database(),
        "queue": "ok" if alive else "The threads that run transfers have stopped.",
        "rclone": problem or "ok",
    }


def _database() -> str:
    try:
        session.execute(text("SELECT 1 FROM jobs LIMIT 1"))
    except SQLAlchemyError as error:
        session.rollback()
        return f"The database does not answer: {type(error).__name__}"
    return "ok"
