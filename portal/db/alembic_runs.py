"""Alembic, called from Python: no alembic.ini, the settings name the database.

``migrate`` imports this only where something is to be changed, since Alembic takes long to import
and most starts find a database that is as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from portal.errors import PortalError
from portal.runtime import resources
from portal.settings import Settings


class MigrationRefused(PortalError):
    """Raised where Alembic cannot do what it was asked for: there is no such revision."""


def upgrade(settings: Settings, revision: str) -> None:
    with _refusals():
        command.upgrade(_config(settings), revision)


def downgrade(settings: Settings, revision: str) -> None:
    with _refusals():
        command.downgrade(_config(settings), revision)


def current(settings: Settings) -> None:
    """Prints the revision the database has."""
    with _refusals():
        command.current(_config(settings))


def check(settings: Settings) -> None:
    """Raises MigrationRefused where the models and the migrations differ."""
    with _refusals():
        command.check(_config(settings))


def _config(settings: Settings) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = settings.database_url
    return config


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise MigrationRefused(f"{error}.") from error
