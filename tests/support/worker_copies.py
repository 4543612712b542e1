"""Workers that begin as copies of one process, which has imported all that they need.

To import it takes three quarters of a worker's start. Tests that need somebody to do the jobs get a
copy; those of workers themselves start them as people do, see ``worker_process``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from portal.settings import Settings
from tests.shipped import environment as shipped
from tests.support.project import ROOT
from tests.support.waiting import wait_for
from tests.support.worker_process import START_SECONDS, variables_of

#: Reads orders, one a line: makes a worker and says its pid, or waits for the end of one.
_PROGRAM = """
import json, os, sys
import sqlalchemy.orm
import manage
from portal.runtime import imports
with imports.all_kept():
    import portal.cli, portal.db.postgres, portal.worker.process
    import celery.canvas, celery.events.dispatcher, celery.worker.consumer.consumer
    import kombu.matcher, kombu.transport.redis
    sqlalchemy.orm.configure_mappers()
for line in sys.stdin:
    order = json.loads(line)
    if "ended" in order:
        os.waitpid(order["ended"], 0)
        print("ended", flush=True)
        continue
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(order["variables"])
        sys.argv = ["manage.py", "worker"]
        manage.main()
    print(child, flush=True)
"""


class WorkerCopies:
    """The process that is copied, started when the first copy is wanted."""

    def __init__(self) -> None:
        self._original: subprocess.Popen[str] | None = None

    @contextmanager
    def one(self, settings: Settings, log: Path) -> Iterator[None]:
        """A worker of this portal, registered; killed in the end."""
        log.touch()
        pid = int(self._ask(log=str(log), variables=_unmeasured(variables_of(settings))))
        try:
            wait_for(lambda: "Worker " in log.read_text(errors="replace"), START_SECONDS)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._ask(ended=pid)

    def end(self) -> None:
        if self._original is not None:
            self._original.communicate()

    def _ask(self, **order: Any) -> str:
        if self._original is None:
            self._original = subprocess.Popen(
                [shipped.python(), "-c", _PROGRAM],
                cwd=ROOT,
                env=_unmeasured(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._original.stdin is not None
        assert self._original.stdout is not None
        self._original.stdin.write(json.dumps(order) + "\n")
        self._original.stdin.flush()
        return self._original.stdout.readline().strip()


def _unmeasured(variables: Mapping[str, str]) -> dict[str, str]:
    """They are killed, and would leave no figures of coverage."""
    return shipped.environment(
        {name: value for name, value in variables.items() if not name.startswith("COVERAGE_")}
    )
