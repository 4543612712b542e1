"""What docs/operations.md says of backups: taken beside a running portal, put back after a loss."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal import database
from portal.factory import build_app
from portal.services import audit, jobs
from portal.settings import Settings, load_settings
from tests.conftest import Browser
from tests.parts import Postgres


@contextmanager
def portal(settings: Settings) -> Iterator[Flask]:
    settings.prepare()
    app = build_app(settings)
    app.testing = False
    try:
        yield app
    finally:
        database.session.remove()
        app.extensions["engine"].dispose()


def make_a_job(app: Flask, root: Path) -> None:
    (root / "from").mkdir(exist_ok=True)
    form = {
        "name": "Kept for ever",
        "operation": "copy",
        "source": str(root / "from"),
        "destination": str(root / "to"),
    }
    bob = Browser(app)
    assert bob.sign_in("bob").status_code == 303
    assert bob.post("/jobs", form).status_code == 303


def everything_is_there(app: Flask) -> None:
    """Users, their passwords, sessions' key, jobs and an audit log that nobody has touched."""
    bob = Browser(app)
    assert bob.sign_in("bob").status_code == 303
    page = bob.get("/jobs").text
    assert "Kept for ever" in page
    with app.app_context():
        assert jobs.counts()["queued"] == 1
        assert audit.verify(None).fault == ""
    alice = Browser(app)
    assert alice.sign_in("alice").status_code == 303
    assert alice.get("/users").text.count('class="user"') == 4


def test_postgresql_is_dumped_wiped_and_restored(
    tmp_path: Path, root: Path, postgres: Postgres, postgres_url: str
) -> None:
    settings = load_settings(
        data_dir=tmp_path / "data", transfer_roots=(root,), database_url=postgres_url
    )
    dump = tmp_path / "portal.dump"
    name = postgres_url.rpartition("/")[2]
    with portal(settings) as app:
        make_a_job(app, root)
        run(postgres, "pg_dump", "--format=custom", f"--file={dump}", postgres_url)
    postgres.drop(postgres_url)
    postgres.run(f'CREATE DATABASE "{name}"')
    run(postgres, "pg_restore", "--exit-on-error", f"--dbname={postgres_url}", str(dump))

    with portal(settings) as app:
        everything_is_there(app)


def run(postgres: Postgres, program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(postgres.programs / program), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="no sqlite3 on this machine")
def test_sqlite_is_backed_up_while_it_is_written_lost_and_restored(
    app: Flask, settings: Settings, root: Path, tmp_path: Path, browser: Callable[..., Any]
) -> None:
    make_a_job(app, root)
    backup = tmp_path / "backup.sqlite"
    command = ["sqlite3", str(settings.data_dir / "portal.sqlite"), f".backup '{backup}'"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    database.session.remove()
    app.extensions["engine"].dispose()
    for lost in settings.data_dir.glob("portal.sqlite*"):
        lost.unlink()
    shutil.copy(backup, settings.data_dir / "portal.sqlite")

    with portal(settings) as restored:
        everything_is_there(restored)
