"""A storage as people meet it: by the form of its remote, and by the form of a job."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portal.db.session import session
from portal.engine import rclone_path
from portal.models import Job, Remote
from portal.remotes.backends import BACKENDS
from portal.remotes.obscure import obscure
from portal.transfers.states import JobStatus
from tests.storages.servers import Server
from tests.support.client import Browser
from tests.support.files import sums
from tests.support.storages import typed
from tests.support.transfers import stored


class Storage:
    """One server, its remote, and people who use it."""

    def __init__(self, server: Server, browser: Callable[..., Browser], execute: Any) -> None:
        self.server = server
        self.top = server.kind.top
        self._browser = browser
        self._execute = execute
        self._alice, self.bob = browser("alice"), browser("bob")
        self._numbers = itertools.count(1)

    def add(self, name: str = "nas", start: str = "", **changed: str) -> None:
        """By the form as it comes; an empty text empties a box that is ticked there."""
        backend = self.server.kind.backend
        page = self._alice.get("/remotes/new", query_string={"backend": backend}).text
        boxes = re.findall(r"<input[^>]*\bchecked\b[^>]*>", page)
        ticked = {name: "y" for box in boxes for name in re.findall(r'name="option_(\w+)"', box)}
        typed_in = ticked | self.server.options(**changed)
        options = {name: text for name, text in typed_in.items() if text}
        form = typed(options, backend=backend, name=name, start=start)
        answer = self._alice.post("/remotes", form)
        assert answer.status_code == 303, answer.text

    def verdict(self, name: str = "nas") -> str:
        self._alice.post(f"/remotes/{self._remote(name).id}/test")
        return str(self._remote(name).verdict)

    def _remote(self, name: str) -> Remote:
        session.remove()
        found = session.query(Remote).filter_by(name=name).one()
        session.remove()
        return found

    def transfer(self, operation: str, source: Path | str, destination: Path | str) -> Job:
        """By the form; what deletes is shown first, and confirmed."""
        job_fields = {
            "name": f"Transfer {next(self._numbers)}",
            "operation": operation,
            "source": str(source),
            "destination": str(destination),
            "guarded": "y",
        }
        job = self._run(self.post(job_fields))
        if operation in ("copy", "check") or job.status != JobStatus.COMPLETED:
            return job
        assert job.dry_run
        answer = self.bob.post(f"/jobs/{job.id}/confirm", {"confirm": job_fields["name"]})
        assert answer.status_code == 303, answer.text
        return self._run(_number(answer))

    def post(self, job_fields: dict[str, str]) -> int:
        """The job that the form makes."""
        answer = self.bob.post("/jobs", job_fields)
        assert answer.status_code == 303, answer.text
        return _number(answer)

    def _run(self, number: int) -> Job:
        self._execute(number)
        return stored(number)

    def fetched(self, path: str, into: Path) -> dict[str, str]:
        """What lies there, by rclone alone."""
        done = self.rclone("copy", f"far:{self.top}{path}", str(into))
        assert done.returncode == 0, done.stderr
        return sums(into)

    def rclone(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        backend = BACKENDS[self.server.kind.backend]
        environment = {"PATH": os.environ["PATH"], "RCLONE_CONFIG_FAR_TYPE": backend.rclone}
        for name, value in self.server.options().items():
            if not value:
                continue
            text = obscure(value) if name in backend.passwords else value.replace("\n", "\\n")
            environment[f"RCLONE_CONFIG_FAR_{name.upper()}"] = text
        return subprocess.run(
            [str(rclone_path(None)), *arguments, "--config", "", "--retries", "1"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )


def _number(answer: Any) -> int:
    return int(answer.location.rsplit("/", 1)[1])


def completed(job: Job) -> bool:
    assert (job.status, job.error) == (JobStatus.COMPLETED, None), (
        f"{job.status}: {job.error} {job.error_lines}"
    )
    return True
