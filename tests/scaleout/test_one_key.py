"""All processes of a portal have one secret key; one with another is not let in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shipped import environment as shipped
from tests.support.parts import Redis
from tests.support.portal_server import PortalServer
from tests.support.project import ROOT

OLD, OTHER = (f"the {word} key of forty characters or more" for word in ("old", "odd"))
SAID = "PORTAL_SECRET_KEY: the other processes of this portal have another secret key."


@pytest.fixture
def several(tmp_path: Path, postgres_url: str, redis: Redis) -> Iterator[list[PortalServer]]:
    """Processes on several machines: one database, one Redis, a data folder each."""
    made = [
        PortalServer(
            tmp_path / f"machine {number}",
            PORTAL_DATABASE_URL=postgres_url,
            PORTAL_REDIS_URL=redis.url,
            PORTAL_SECRET_KEY=key,
        )
        for number, key in enumerate((OLD, OTHER))
    ]
    yield made
    for one in made:
        one.clean_up()


@pytest.mark.parametrize("command", ["worker", "run", "run --processes 2"])
def test_process_with_another_key_does_not_start(several: list[PortalServer], command: str) -> None:
    first, second = several
    first.start()
    done = subprocess.run(
        [shipped.python(), "manage.py", *command.split()],
        cwd=ROOT,
        env=shipped.environment(second.environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"Error: {SAID}" in said
    assert "Traceback" not in said


def test_portal_starts_with_another_key_when_no_other_process_runs(
    several: list[PortalServer],
) -> None:
    first, second = several
    first.start()
    assert first.stop() == 0
    second.start()
    assert "the secret key is another than before" in second.log
    assert second.stop() == 0
