"""Threads of the serving process, which are green, behave as those of the standard library."""

from __future__ import annotations

import subprocess

import pytest

from tests.shipped import environment as shipped
from tests.support.project import ROOT

PROGRAM = """
import eventlet
eventlet.monkey_patch()
from portal.server import green_threads
green_threads.mend_join()
import threading, time
def work():
    time.sleep(0.5)
    done.append(1)
done = []
thread = threading.Thread(target=work)
thread.start()
for seconds in (0, 0.05, -1):
    thread.join(seconds)
    assert thread.is_alive()
assert done == []
thread.join(%s)
assert done == [1]
assert not thread.is_alive()
thread.join(0.05)
print("joined")
"""


@pytest.mark.parametrize("seconds", ["", "5"])
def test_join_returns_when_its_time_is_over_and_when_the_thread_has_ended(seconds: str) -> None:
    done = subprocess.run(
        [shipped.python(), "-W", "ignore", "-c", PROGRAM % seconds],
        cwd=ROOT, env=shipped.environment({}), capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stdout == "joined\n", done.stderr
