"""Alembic, called from Python: no alembic.ini, the settings name the database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from portal.db import session
from portal.db.instance_lock import DatabaseLock
from portal.errors import SettingsError
from portal.runtime import addresses, resources, stopping
from portal.runtime.file_lock import Locked
from portal.settings import Settings


def _config(settings: Settings) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = settings.database_url
    return config


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Raises StopAsked where the process was asked to end meanwhile: then nothing was changed."""
    if file := addresses.sqlite_file(settings.database_url):
        _refuse_foreign(file)
    try:
        command.upgrade(_config(settings), revision)
    except DBAPIError:
        stopping.raise_if_requested()
        raise
    except CommandError:
        _refuse_newer(settings)
        raise


def downgrade(settings: Settings, revision: str = "-1") -> None:
    """Raises Locked while a portal or a worker runs on the database."""
    held = DatabaseLock(settings.database_url, alone=True)
    try:
        held.acquire()
    except Locked:
        raise Locked(
            "A portal or a worker runs on this database, and needs what this would take away. "
            "Stop all of them first."
        ) from None
    try:
        command.downgrade(_config(settings), revision)
    except CommandError:
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


def _revisions(settings: Settings) -> tuple[str | None, list[str]]:
    """The database's revision, and those of this version, the newest first."""
    scripts = ScriptDirectory.from_config(_config(settings))
    engine = session.connect(settings.database_url)
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    return found, [script.revision for script in scripts.walk_revisions()]


def current(settings: Settings) -> None:
    """Prints the revision the database has."""
    command.current(_config(settings))


def check(settings: Settings) -> None:
    """Raises CommandError where the models and the migrations differ."""
    command.check(_config(settings))
