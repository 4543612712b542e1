"""The lines of docs/operations.md, as they stand there: a backup beside a portal that moves files,
the loss of everything, and what is there after the restore."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.shipped.environment import ROOT
from tests.support.parts import Postgres, Redis
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.served import Serve, admin, copy, is_completed, worker_beside
from tests.support.transfers import tree
from tests.support.waiting import wait_for


def documented(number: int) -> str:
    """A block of lines of the section: two that back up, two that restore."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.partition("\n## Backup\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .+\n)+", section, re.MULTILINE)
    assert len(blocks) == 4
    return str(blocks[number])


def run_shell(lines: str, server: PortalServer, backup: Path, **variables: str) -> None:
    """Where ``instance`` is the data folder, and ``/backup`` a folder of the test."""
    instance = server.cwd / "instance"
    if not instance.exists():
        instance.symlink_to(server.data, target_is_directory=True)
    backup.mkdir(exist_ok=True)
    done = subprocess.run(
        ["sh", "-e", "-c", lines.replace("/backup", str(backup))],
        cwd=server.cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def work_to_lose(server: PortalServer, person: Person) -> tuple[int, int]:
    """A job that has ended, and one that runs."""
    ended = copy(server, person, "ended")
    wait_for(lambda: is_completed(person, ended), 30)
    runs = copy(server, person, "runs", bandwidth_limit="50k")
    wait_for(lambda: 'data-status="running"' in row(person, runs), 30)
    return ended, runs


def row(person: Person, job: int) -> str:
    return person.get(f"/api/jobs/{job}/progress").text


def everything_is_there(server: PortalServer, person: Person, ended: int, runs: int) -> None:
    """The session of before holds, so the key is the same; what ran goes on to its end."""
    assert person.get("/jobs").status_code == 200
    assert is_completed(person, ended)
    wait_for(lambda: is_completed(person, runs), 30)
    assert tree(server.root / "runs copied") == tree(server.root / "runs")
    assert person.get(f"/api/jobs/{runs + 1}/progress").status_code == 404, "of after the backup"
    assert "entries are as they were written." in server.manage("audit", "verify")


def test_one_process_is_backed_up_while_it_runs_lost_and_restored(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve()
    server.start()
    person = admin(server)
    jobs = work_to_lose(server, person)
    run_shell(documented(0), server, tmp_path / "backup")
    copy(server, person, "later")
    server.kill()
    for lost in server.data.iterdir():
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()

    run_shell(documented(2), server, tmp_path / "backup")
    server.start()
    everything_is_there(server, person, *jobs)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "backup").iterdir()} == {0}


def test_postgresql_is_backed_up_while_it_runs_lost_and_restored(
    serve: Serve, tmp_path: Path, postgres: Postgres, redis: Redis
) -> None:
    database: dict[str, Any] = {"PORTAL_DATABASE_URL": postgres.create()}
    programs = {"PATH": f"{postgres.programs}:{os.environ['PATH']}", **database}
    key = "a key of the portal that is kept elsewhere"
    server = serve(PORTAL_REDIS_URL=redis.url, PORTAL_SECRET_KEY=key, **database)
    server.start()
    person = admin(server)
    with worker_beside(server):
        jobs = work_to_lose(server, person)
        run_shell(documented(1), server, tmp_path / "backup", **programs)
        copy(server, person, "later")
    server.kill()
    postgres.drop(database["PORTAL_DATABASE_URL"])
    name = database["PORTAL_DATABASE_URL"].rpartition("/")[2]
    postgres.run(f'CREATE DATABASE "{name}"')
    redis.wipe()

    run_shell(documented(3), server, tmp_path / "backup", **programs)
    server.start()
    with worker_beside(server):
        everything_is_there(server, person, *jobs)
