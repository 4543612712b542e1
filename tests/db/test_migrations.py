"""Migrations run up and down, and end where the models are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from portal import models
from portal.db import migrate, session
from portal.db.session import Base
from portal.models import JobCount
from portal.runtime import resources
from portal.settings import Settings, load_settings
from portal.transfers.states import JobStatus

assert models


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """On an empty database of either kind."""
    more: dict[str, Any] = {}
    if request.param == "postgresql":
        more["database_url"] = request.getfixturevalue("postgres").create()
    made = load_settings(data_dir=tmp_path / "100% data", **more)
    made.prepare()
    yield made
    session.session.remove()


def schema(settings: Settings) -> dict[str, object]:
    """Tables with their columns, indexes and keys."""
    engine = create_engine(settings.database_url)
    found = inspect(engine)
    tables = {
        table: (
            [
                (column["name"], str(column["type"]), column["nullable"])
                for column in found.get_columns(table)
            ],
            sorted(_words(index) for index in found.get_indexes(table)),
            sorted(str(key) for key in found.get_foreign_keys(table)),
        )
        for table in found.get_table_names()
    }
    engine.dispose()
    return tables


def _words(index: Any) -> str:
    # The condition of a partial index is a clause, which tells its words only when asked.
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return str({**index, "dialect_options": options})


def test_migrations_make_every_table_of_the_models(settings: Settings) -> None:
    migrate.upgrade(settings)
    assert set(schema(settings)) == {*Base.metadata.tables, "alembic_version"}


def test_models_and_migrations_do_not_differ(settings: Settings) -> None:
    migrate.upgrade(settings)
    migrate.check(settings)


def test_down_leaves_nothing_and_up_again_gives_the_same(settings: Settings) -> None:
    migrate.upgrade(settings)
    first = schema(settings)
    migrate.downgrade(settings, "base")
    assert set(schema(settings)) == {"alembic_version"}
    migrate.upgrade(settings)
    assert schema(settings) == first


def test_every_step_goes_down_and_up_by_itself(settings: Settings) -> None:
    migrate.upgrade(settings)
    before = schema(settings)
    migrate.downgrade(settings)
    assert schema(settings) != before
    migrate.upgrade(settings, "+1")
    assert schema(settings) == before


def test_known_revisions_are_those_that_alembic_finds() -> None:
    found = ScriptDirectory(str(resources.MIGRATIONS)).walk_revisions()
    assert migrate.known_revisions() == [script.revision for script in found]


def test_upgrade_of_a_current_database_changes_nothing(settings: Settings) -> None:
    migrate.upgrade(settings)
    before = schema(settings)
    migrate.upgrade(settings)
    assert schema(settings) == before


def test_counters_begin_with_every_status_at_zero(settings: Settings) -> None:
    migrate.upgrade(settings)
    engine = session.connect(settings.database_url)
    rows = session.session.query(JobCount.status, JobCount.jobs).all()
    assert dict(rows) == dict.fromkeys(JobStatus, 0)
    session.session.remove()
    engine.dispose()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_identifiers_of_sessions_and_jobs_are_never_given_out_again(settings: Settings) -> None:
    # Rooms of sockets and links to jobs bear them. A sequence of PostgreSQL never goes back.
    migrate.upgrade(settings)
    engine = create_engine(settings.database_url)
    with engine.connect() as connection:
        for table in ("sessions", "jobs"):
            made = connection.scalar(
                text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table}
            )
            assert "AUTOINCREMENT" in made, table
    engine.dispose()
