"""Migrations run up and down, and end where the models are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, insert, inspect, select, text

from portal import models
from portal.db import migrate, session
from portal.db.session import Base
from portal.models import HistoryTotal, Job, JobCount, JobEvent, Role, User, UserSettings
from portal.runtime import resources
from portal.services.jobs import history
from portal.services.jobs.history import HistoryFilter
from portal.services.jobs.totals import Total
from portal.settings import Settings, load_settings
from portal.transfers.states import JobStatus
from tests.support.transfers import miscounted_totals

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


def revision(settings: Settings) -> str | None:
    engine = create_engine(settings.database_url)
    with engine.connect() as connection:
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    engine.dispose()
    return found


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
    before, newest, *earlier = schema(settings), *migrate.known_revisions()
    migrate.downgrade(settings)
    assert revision(settings) == earlier[0]
    migrate.upgrade(settings, "+1")
    assert (schema(settings), revision(settings)) == (before, newest)


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


def test_what_was_interrupted_for_good_gets_its_end_and_its_totals(settings: Settings) -> None:
    migrate.upgrade(settings, "0014")
    engine = session.connect(settings.database_url)
    died = datetime(2026, 11, 20, 12, 14, 59, 250_000, tzinfo=UTC)
    heard, began = died - timedelta(seconds=45), died - timedelta(hours=1)
    job = {
        "name": "Nightly",
        "source": "/a",
        "destination": "/b",
        "owner_id": 1,
        "status": "interrupted",
        "attempt": 1,
        "queued_at": began,
        "started_at": began,
        "heartbeat_at": heard,
        "current_files": [],
        "error_lines": [],
    }
    jobs = [
        {"id": 1, "operation": "move", "bytes_transferred": 500, "files_transferred": 3},
        {"id": 2, "operation": "sync", "bytes_transferred": 70, "earlier_seconds": 100},
        {"id": 3, "operation": "copy", "bytes_transferred": 9},
        {"id": 4, "operation": "move", "bytes_transferred": 9, "status": "running"},
        {"id": 5, "operation": "move", "status": "cancelled", "finished_at": died},
    ]
    with session.write() as tx:
        bob = User(id=1, username="bob", password_hash="", role=Role.OPERATOR)
        bob.settings = UserSettings()
        tx.add(bob)
        tx.flush()
        for one in jobs:
            tx.execute(insert(Job), [job | one])
        event = {"job_id": 1, "old_status": "running", "new_status": "interrupted", "seq": 3}
        tx.execute(insert(JobEvent), [event | {"at": died}])
        tx.commit()
    engine.dispose()

    migrate.upgrade(settings)
    engine = session.connect(settings.database_url)
    ended = dict(session.session.execute(select(Job.id, Job.finished_at)).all())
    # Of the second, no event tells when it was; its worker's last heartbeat does.
    assert ended == {1: died, 2: heard, 3: None, 4: None, 5: died}
    total = history.total(HistoryFilter())
    assert total["interrupted"] == Total(2, 570, 3, 3600 + 3555 + 100)
    quarter = HistoryFilter(since=datetime(2026, 11, 20, 12, tzinfo=UTC))
    assert history.total(quarter)["interrupted"].jobs == 2
    # The helper has written no totals for the cancelled one, and the upgrade leaves it alone.
    wrong = {status for _, status in miscounted_totals()}
    assert wrong == {"cancelled"}
    session.session.remove()
    engine.dispose()

    migrate.downgrade(settings, "0014")
    engine = session.connect(settings.database_url)
    ended = dict(session.session.execute(select(Job.id, Job.finished_at)).all())
    assert ended == {1: None, 2: None, 3: None, 4: None, 5: died}
    assert session.session.scalars(select(HistoryTotal)).all() == []
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
