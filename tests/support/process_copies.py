"""Portals and workers that begin as copies of one process, which has imported all that they need.

To import it takes three quarters of a start. Tests that need a portal or a worker as a partner get
a copy: it runs ``manage.main`` as a process of its own, in a session of its own, and can be waited
for, killed and frozen as any other. Tests of starts and stops, of several web processes, of bad
surroundings, of what ships, and those that measure start processes as people do.

A copy differs in what an interpreter settles when it starts: in ``/proc`` it has the command line
and the environment of the original, and its seed of hashes is that of its siblings.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.shipped import environment as shipped
from tests.support.project import ROOT

_POLL = 0.02


class Copy:
    """What tests use of ``subprocess.Popen``, of a process whose parent is the original."""

    def __init__(self, original: _Original, pid: int) -> None:
        self._original = original
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._original.ask(ended=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                assert timeout is not None
                raise subprocess.TimeoutExpired(["a copy"], timeout)
            time.sleep(_POLL)
        return code

    def send_signal(self, number: int) -> None:
        # Until it is asked for its end, it keeps its pid.
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Process = subprocess.Popen[bytes] | Copy


def copy(*words: str, variables: Mapping[str, str], log: Path) -> Copy:
    """``manage.py WORDS`` from the sources, with these variables; it writes to the end of
    ``log``."""
    kind = {"run": "serving", "worker": "working"}[words[0]]
    assert "--processes" not in words, "a supervisor starts others as people do"
    given = {name: value for name, value in variables.items() if name != "PYTHONPATH"}
    original = _original(kind)
    pid = original.ask(words=words, variables=given, log=str(log), cwd=str(ROOT))
    return Copy(original, pid)


@functools.cache
def _original(kind: str) -> _Original:
    """One of each kind for a process of tests, from the first copy on."""
    made = _Original(kind)
    atexit.register(made.end)
    return made


class _Original:
    def __init__(self, kind: str) -> None:
        found = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PORTAL_", "RCLONE_"))
        }
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [shipped.python(), "-m", "tests.support.process_original", kind],
            cwd=ROOT,
            env=shipped.environment(found),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._asking:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()
