"""A portal that was started as people start it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.shipped import environment as shipped
from tests.support.people import Person
from tests.support.portal_server import START_SECONDS, PortalServer
from tests.support.transfers import fill
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

Serve = Callable[..., PortalServer]


def admin(server: PortalServer) -> Person:
    """Whom the first start made, signed in."""
    person = Person(server)
    assert person.sign_in("admin", PASSWORD).status_code == 303
    return person


def copy(server: PortalServer, person: Person, name: str, **more: str) -> int:
    """Asks by the form for a copy of three files; the job's id."""
    source = fill(server.root / name, 100_000, 3)
    return person.start(source, server.root / f"{name} copied", name=name, **more)


def is_completed(person: Person, job: int) -> bool:
    return 'data-status="completed"' in person.get(f"/api/jobs/{job}/progress").text


@contextmanager
def worker_beside(server: PortalServer) -> Iterator[subprocess.Popen[bytes]]:
    data = server.cwd / "data of the worker"
    log = server.cwd / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command("worker"),
            cwd=server.cwd,
            env=shipped.environment({**server.environment, "PORTAL_DATA_DIR": str(data)}),
            stdout=output,
            stderr=output,
        )

    def works() -> bool:
        assert process.poll() is None, log.read_text()
        return "Worker " in log.read_text()

    try:
        wait_for(works, START_SECONDS)
        yield process
    finally:
        process.kill()
        process.wait()
