"""Migrations: what they do, and which databases are refused.

Alembic is imported in functions, only where something is to be changed: see ``alembic_runs``.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError

from portal.db import session
from portal.db.instance_lock import DatabaseLock
from portal.errors import SettingsError
from portal.runtime import addresses, imports, resources, stopping
from portal.runtime.file_lock import Locked
from portal.settings import Settings

#: As each script of migrations/versions says it, on a line of its own.
_REVISION = re.compile(r'(?m)^revision = "(\w+)"$')
_NEWEST = "head"


def upgrade(settings: Settings, revision: str = _NEWEST) -> None:
    """Raises StopAsked where the process was asked to end meanwhile: then nothing was changed."""
    if file := addresses.sqlite_file(settings.database_url):
        _refuse_foreign(file)
    try:
        if revision != _NEWEST or not _is_current(settings):
            _run_upgrade(settings, revision)
    except DBAPIError:
        stopping.raise_if_requested()
        raise


def _run_upgrade(settings: Settings, revision: str) -> None:
    with imports.all_kept():
        from portal.db import alembic_runs

    try:
        alembic_runs.upgrade(settings, revision)
    except alembic_runs.MigrationRefused:
        _refuse_newer(settings)
        raise


def downgrade(settings: Settings, revision: str = "-1") -> None:
    """Raises Locked while a portal or a worker runs on the database."""
    from portal.db import alembic_runs

    held = DatabaseLock(settings.database_url, alone=True)
    try:
        held.acquire()
    except Locked:
        raise Locked(
            "A portal or a worker runs on this database, and needs what this would take away. "
            "Stop all of them first."
        ) from None
    try:
        alembic_runs.downgrade(settings, revision)
    except alembic_runs.MigrationRefused:
        _refuse_newer(settings)
        raise
    finally:
        held.release()


def refuse_older(settings: Settings) -> None:
    """Raises SettingsError where this version misses something in the database. A newer one serves
    it too, while all processes are replaced."""
    found, known = _revisions(settings)
    if found is None:
        raise SettingsError(
            "PORTAL_DATABASE_URL: there is no portal in the database yet. Start one, or run: "
            "portal db upgrade"
        )
    if found in known[1:]:
        raise SettingsError(
            f"PORTAL_DATABASE_URL: the database is that of an older version (revision {found}; "
            f"this one needs {known[0]}). Make a backup, then run: portal db upgrade"
        )


def _refuse_foreign(file: Path) -> None:
    """Raises SettingsError for a file in which another program keeps what is its own."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as opened:
            found = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error:
        return  # it is not there yet, or what opens it to write will say what is wrong
    tables = sorted(name for (name,) in found if not name.startswith("sqlite_"))
    if tables and "alembic_version" not in tables:
        raise SettingsError(
            f"PORTAL_DATABASE_URL: the database {file} is that of another program (it holds "
            f"{', '.join(tables[:3])}, and nothing of the portal). Name a file of its own."
        )


def _refuse_newer(settings: Settings) -> None:
    found, known = _revisions(settings)
    if found is not None and found not in known:
        raise SettingsError(
            f"PORTAL_DATABASE_URL: a newer version has changed the database (revision {found}; "
            f"this one knows {known[0]}). Install that version again. To come back to this one, "
            f"run there: portal db downgrade {known[0]}"
        ) from None


def _is_current(settings: Settings) -> bool:
    found, known = _revisions(settings)
    return found == known[0]


def _revisions(settings: Settings) -> tuple[str | None, list[str]]:
    """The database's revision, and those of this version, the newest first."""
    engine = session.connect(settings.database_url)
    try:
        return _found(engine), known_revisions()
    finally:
        engine.dispose()


def _found(engine: Engine) -> str | None:
    """Where Alembic keeps it."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
        return str(rows[0][0]) if rows else None


def known_revisions() -> list[str]:
    """Those of this version, the newest first."""
    scripts = sorted((resources.MIGRATIONS / "versions").glob("*.py"), reverse=True)
    return [name for script in scripts for name in _REVISION.findall(script.read_text("utf-8"))]


def current(settings: Settings) -> None:
    """Prints the revision the database has."""
    from portal.db import alembic_runs

    alembic_runs.current(settings)


def check(settings: Settings) -> None:
    """Raises MigrationRefused where the models and the migrations differ."""
    from portal.db import alembic_runs

    alembic_runs.check(settings)
