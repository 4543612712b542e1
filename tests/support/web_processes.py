"""A portal of several web processes, as its supervisor starts them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portal.engine.process import processes
from tests.support import process_copies
from tests.support.people import Person
from tests.support.portal_server import START_SECONDS, PortalServer
from tests.support.sockets import Listener
from tests.support.transfers import fill
from tests.support.waiting import wait_for

#: What a supervisor prints once all of its processes serve.
_SERVING = "Transfer Portal on"


class Web(PortalServer):
    options = ("--processes", "2")

    def _wait_until_ready(self) -> None:
        before = self.log.count(_SERVING)
        super()._wait_until_ready()
        wait_for(lambda: self.log.count(_SERVING) > before, START_SECONDS)

    def children(self) -> list[int]:
        """The serving processes that are alive now."""
        return alive_of(self.pid)

    def kill_one(self) -> int:
        """SIGKILL to the first of them; its pid."""
        victim = self.children()[0]
        os.kill(victim, signal.SIGKILL)
        return victim

    def is_whole(self) -> bool:
        return len(self.children()) == int(self.options[1])


@contextmanager
def worker_of(web: Web, name: str = "worker") -> Iterator[process_copies.Process]:
    log = web.root.parent / f"{name}.log"
    machine = {
        "PORTAL_DATA_DIR": str(web.root.parent / name),
        "PORTAL_SECRET_KEY": (web.data / "secret_key").read_text(),
    }
    process = process_copies.copy(
        *("worker", "--concurrency", "2"), variables={**web.environment, **machine}, log=log
    )
    try:
        wait_for(lambda: log.exists() and "Worker " in log.read_text(), START_SECONDS)
        yield process
    finally:
        process.terminate()
        process.wait(15)


def new_job(web: Web, person: Person, name: str, *, size: int = 1000, **more: str) -> int:
    source = web.root / name
    fill(source, size)
    answer = person.post(
        "/jobs",
        name=name,
        operation="copy",
        source=str(source),
        destination=str(web.root / f"{name} copied"),
        **more,
    )
    assert answer.status_code == 303, answer.text
    return int(answer.headers["Location"].rpartition("/")[2])


def status_of(person: Person, job: int) -> str:
    return person.get(f"/api/jobs/{job}/progress").text.partition('data-status="')[2].split('"')[0]


def statuses_heard(listener: Listener, job: int) -> list[str]:
    """The statuses of the job that this client was told of."""
    told = listener.events("job_status_change")
    return [event["new_status"] for event in told if event["job_id"] == job]


def alive_of(supervisor: int) -> list[int]:
    """Those alive that the supervisor of this pid has started, now or before it went."""
    seen = [processes.inspect(pid) for pid in processes.pids()]
    return sorted(one.pid for one in seen if one and one.group == supervisor != one.pid)


def wait_until_gone(supervisor: int, seconds: float = 10) -> None:
    wait_for(lambda: not alive_of(supervisor), seconds)


def scale_out(folder: Path, database: str, redis: str, **settings: str) -> Web:
    return Web(folder, PORTAL_DATABASE_URL=database, PORTAL_REDIS_URL=redis, **settings)
