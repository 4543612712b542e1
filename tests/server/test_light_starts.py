"""What a start does not import: it takes most of the time until a portal is ready, in each of its
processes, and again after each restart."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from portal.engine.process import watchdog
from portal.settings import Settings
from tests.shipped import environment as shipped
from tests.support.modes import SCALED_OUT
from tests.support.portal_server import with_users
from tests.support.project import ROOT
from tests.support.worker_process import WorkerProcess

#: Whoever imports one of these ends with an ImportError.
REFUSED = "import sys; sys.modules.update(dict.fromkeys({names!r}))\n"
COMMANDS = "import manage; manage.main()"
#: Alembic, which no database of this version needs, and what it brings.
MIGRATIONS = ("alembic", "mako")
PAGES = ("flask", "flask_login", "flask_socketio", "flask_wtf", "jinja2", "socketio", "werkzeug")
LOOP = ("eventlet", "greenlet")
SCALING = ("celery", "kombu", "psycopg")


def without(*names: str) -> list[str]:
    return [shipped.python(), "-c", REFUSED.format(names=names) + COMMANDS]


def test_portal_of_one_process_starts_without_alembic_celery_and_postgres(
    tmp_path: Path, migrated: Path
) -> None:
    server = with_users(tmp_path, migrated)
    server.program = without(*MIGRATIONS, *SCALING)
    server.start()
    assert server.stop() == 0, server.log


def test_commands_work_without_pages_and_loops(tmp_path: Path, migrated: Path) -> None:
    server = with_users(tmp_path, migrated)
    server.program = without(*MIGRATIONS, *PAGES, *LOOP, *SCALING)
    said = server.manage("create-user", "dora", "--role", "viewer")
    assert "Created viewer dora." in said
    assert "entries are as they were written" in server.manage("audit", "verify")


@pytest.mark.parametrize("mode", [SCALED_OUT], indirect=True)
def test_worker_starts_without_pages_loops_and_alembic(settings: Settings, tmp_path: Path) -> None:
    settings.prepare()
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.break_by(REFUSED.format(names=(*MIGRATIONS, *PAGES, *LOOP)))
    worker.start()
    assert worker.stop() == 0, worker.log


def test_watchdog_imports_nothing_of_the_engine_but_its_own() -> None:
    done = subprocess.run(
        [shipped.python(), "-X", "importtime", *watchdog.program(silence=1.0, grace=1.0)],
        env=watchdog.VARIABLES,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    ours = set(re.findall(r"\| +portal\.([\w.]+)$", done.stderr, re.MULTILINE))
    assert ours == {f"engine.process{name}" for name in ("", ".processes", ".watchdog_main")}


def test_this_would_see_what_is_imported() -> None:
    done = subprocess.run(
        [*without("click"), "audit", "verify"],
        cwd=ROOT,
        env=shipped.environment(os.environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "import of click halted; None in sys.modules" in done.stderr
