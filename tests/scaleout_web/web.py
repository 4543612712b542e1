"""A portal of several web processes, as its supervisor starts them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from portal.engine import processes
from tests.browser.portal_server import START_SECONDS, PortalServer
from tests.conftest import wait_for

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


def alive_of(supervisor: int) -> list[int]:
    """Those alive that the supervisor of this pid has started, now or before it went."""
    seen = [processes.look(pid) for pid in processes.pids()]
    return sorted(one.pid for one in seen if one and one.group == supervisor != one.pid)


def wait_until_gone(supervisor: int, seconds: float = 10) -> None:
    wait_for(lambda: not alive_of(supervisor), seconds)


def scale_out(folder: Path, database: str, redis: str, **settings: str) -> Web:
    return Web(folder, PORTAL_DATABASE_URL=database, PORTAL_REDIS_URL=redis, **settings)
