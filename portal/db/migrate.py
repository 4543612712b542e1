"""Alembic, called from Python: no alembic.ini, the settings name the database."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from portal.runtime import resources, stopping
from portal.settings import Settings


def _config(settings: Settings) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = settings.database_url
    return config


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Raises StopAsked where the process was asked to end meanwhile: then nothing was changed."""
    try:
        command.upgrade(_config(settings), revision)
    except DBAPIError:
        stopping.go_on()
        raise


def downgrade(settings: Settings, revision: str = "-1") -> None:
    command.downgrade(_config(settings), revision)


def current(settings: Settings) -> None:
    """Prints the revision the database has."""
    command.current(_config(settings))


def check(settings: Settings) -> None:
    """Raises CommandError where the models and the migrations differ."""
    command.check(_config(settings))
