"""A portal of several real processes: workers beside an application in the tests' own process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from portal.settings import Settings
from tests.shipped import environment as shipped
from tests.support import process_copies
from tests.support.project import ROOT
from tests.support.transfers import MIB, stored
from tests.support.waiting import wait_for

START_SECONDS = 30
STOP_SECONDS = 10


#: What manage.py does.
_COMMANDS = """
from portal.cli import cli
cli(obj={})
"""
#: The one place that reads the machine's clock finds it wrong.
_SHIFTED = """
from datetime import datetime, timedelta
from portal.db import clock
class Wrong(datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.now(zone) + timedelta(seconds={seconds})
clock.datetime = Wrong
"""


class WorkerProcess:
    """`manage.py worker` as people start it; or a copy of one that has imported all, where tests
    do not ask how it starts, see ``process_copies``."""

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *arguments: str,
        is_copy: bool = False,
    ) -> None:
        self.is_copy = is_copy
        self._program = ["manage.py"]
        self._arguments = arguments
        self._log = log
        self._environment = variables_of(settings)
        self.process: process_copies.Process | None = None

    def set(self, **variables: str) -> None:
        self._environment |= variables

    def shift_clock(self, hours: float) -> None:
        """Its machine's clock is wrong by so much, from its start on."""
        self.break_by(_SHIFTED.format(seconds=hours * 3600))

    def break_by(self, code: str) -> None:
        """It runs this before it begins, and imports afterwards: it is no copy."""
        self.is_copy = False
        self._program = ["-c", code + _COMMANDS]

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> WorkerProcess:
        """Returns when it has registered itself."""
        self.launch()
        wait_for(self.is_ready, START_SECONDS)
        return self

    def launch(self) -> None:
        self._seen = self.log.count("Worker ")
        words = ("worker", *self._arguments)
        if self.is_copy:
            variables = self._environment
            self.process = process_copies.copy(*words, variables=variables, log=self._log)
        else:
            self.process = self._started(words)

    def _started(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [shipped.python(), *self._program, *words],
                cwd=ROOT,
                env=shipped.environment(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the worker ended at its start:\n{self.log}"
        return self.log.count("Worker ") > self._seen

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end in {seconds} s:\n{self.log}") from None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.kill()


def variables_of(settings: Settings) -> dict[str, str]:
    """The environment of a worker of this portal."""
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PORTAL_", "RCLONE_"))},
        "PORTAL_DATA_DIR": str(settings.data_dir),
        "PORTAL_DATABASE_URL": settings.database_url,
        "PORTAL_REDIS_URL": settings.redis_url,
        "PORTAL_TRANSFER_ROOTS": ":".join(map(str, settings.transfer_roots)),
        "PORTAL_TEST_TIME_SCALE": str(settings.test_time_scale),
        **({"PORTAL_RCLONE": str(settings.rclone)} if settings.rclone else {}),
    }


def pids_of(settings: Settings) -> list[int]:
    """Processes that work for a job of this portal."""
    mark = b"PORTAL_DATA=" + os.fsencode(settings.data_dir)
    found = []
    for entry in Path("/proc").iterdir():
        try:
            told = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in told and any(item.startswith(b"PORTAL_JOB_ID=") for item in told):
            found.append(int(entry.name))
    return found


def is_moving(job_id: int) -> bool:
    return bool(stored(job_id).bytes_transferred > MIB)


#: A fifth of the real times: heartbeats each second, jobs taken back after nine. Shorter ones would
#: be missed where other tests run beside these.
SCALE = 0.2
