"""A portal as its users have it: `manage.py run` in its own process, with its own data."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from tests.shipped import environment as shipped
from tests.support import process_copies
from tests.support.ports import free_port
from tests.support.project import ROOT
from tests.support.users import PASSWORD, USERS

START_SECONDS = 90
STOP_SECONDS = 10
_LOG_SHOWN = 8000


class PortalServer:
    """One portal on a port of its own; `stop`, `kill` and `start` keep its data and its port."""

    #: Of `manage.py run`.
    options: tuple[str, ...] = ()
    #: What stands before a command; that of the sources with the packages that ship, if empty.
    program: Sequence[str] = ()
    cwd = ROOT
    #: Extras of the portal that are installed beside what ships.
    extras: tuple[str, ...] = ()
    #: Whether it begins as a copy, see ``process_copies``: where tests need a portal and do not ask
    #: how it starts.
    is_copy = False

    def __init__(self, folder: Path, **settings: str) -> None:
        self.root = folder / "files"
        self.data = folder / "data"
        self.root.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self._log = folder / "portal.log"
        self._process: process_copies.Process | None = None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None, "the portal is not running"
        return self._process.pid

    @property
    def _ready_path(self) -> str:
        # Where workers run the jobs, a portal without one of them is not ready, but serves.
        return "/login" if self._settings.get("PORTAL_REDIS_URL") else "/readyz"

    @property
    def environment(self) -> dict[str, str]:
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("PORTAL_", "RCLONE_"))
        }
        return {
            **inherited,
            "PORTAL_DATA_DIR": str(self.data),
            "PORTAL_PORT": str(self.port),
            "PORTAL_TRANSFER_ROOTS": str(self.root),
            "PORTAL_ADMIN_PASSWORD": PASSWORD,
            **self._settings,
        }

    def command(self, *words: str) -> list[str]:
        return [*(self.program or [shipped.python(), "manage.py"]), *words]

    def start(self, **settings: str) -> None:
        """Start with these settings on top of the first ones, and wait until it is ready."""
        self._settings.update(settings)
        variables = shipped.environment(self.environment, *self.extras)
        if self.is_copy:
            assert not self.program, "a copy is of the sources"
            assert not self.extras, "a copy has what ships, and no extra"
            self._process = process_copies.copy(
                "run", *self.options, variables=variables, log=self._log
            )
        else:
            self._process = self._started(variables)
        self._wait_until_ready()

    def stop(self) -> int:
        """SIGTERM, and the exit code; a portal that takes longer than it may fails the test."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a crash or the kernel's out-of-memory killer would."""
        self._end(signal.SIGKILL)

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """Run a command of manage.py on this portal's data; gives what it printed."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.cwd,
            env=shipped.environment(self.environment, *self.extras),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def create_users(self, users: Mapping[str, str] = USERS) -> None:
        for name, role in users.items():
            self.manage("create-user", name, "--role", role, "--password-stdin", stdin=PASSWORD)

    def clean_up(self) -> None:
        if self._process is not None:
            self.kill()
        # pytest shows it where the test failed.
        sys.stdout.write(f"\n{self._jobs()}\n{self.log[-_LOG_SHOWN:]}\n")

    def _jobs(self) -> str:
        """The rows of the jobs, for who looks into a failed test."""
        database = self.data / "portal.sqlite"
        if not database.exists():
            return ""
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
                opened.row_factory = sqlite3.Row
                found = opened.execute("SELECT * FROM jobs ORDER BY id DESC LIMIT 5").fetchall()
        except sqlite3.Error as error:
            return str(error)
        return "\n".join(str({k: v for k, v in dict(row).items() if v}) for row in found)

    def _started(self, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self.command("run", *self.options),
                cwd=self.cwd,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _end(self, how: signal.Signals) -> int:
        assert self._process is not None, "the portal is not running"
        self._process.send_signal(how)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"no end {STOP_SECONDS} s after {how.name}:\n{self.log}") from None
        finally:
            self._process = None
        return code

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"the portal ended at its start:\n{self.log}"
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"{self.url}{self._ready_path}", timeout=2).close()
                return
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"not ready within {START_SECONDS} s:\n{self.log}")


class CopiedPortal(PortalServer):
    """For tests that need a portal as a partner, also one that is killed and begins again."""

    is_copy = True


def with_users(
    folder: Path, migrated: Path, kind: type[PortalServer] = PortalServer, **settings: str
) -> PortalServer:
    """A portal, not yet started, with the users of the tests."""
    server = kind(folder, **settings)
    (server.data / "portal.sqlite").write_bytes(migrated.read_bytes())
    return server


def change_row(server: PortalServer, statement: str, *values: object) -> None:
    """Behind the portal's back, as another process would."""
    with closing(sqlite3.connect(server.data / "portal.sqlite", timeout=10)) as database, database:
        database.execute(statement, values)
