"""The folders that are open to transfers, as a worker looks at them."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from portal.worker.root_watch import RootWatch
from tests.support.waiting import wait_for

Watch = Callable[..., RootWatch]


@pytest.fixture
def watch() -> Iterator[Watch]:
    begun: list[RootWatch] = []

    def start(look: Callable[[], list[str]], patience: float = 10.0) -> RootWatch:
        begun.append(RootWatch(look, 0.01, patience))
        begun[-1].start()
        return begun[-1]

    yield start
    for one in begun:
        one.stop()
        one._thread.join(5)
        assert not one._thread.is_alive()


def test_what_is_missing_is_known_from_the_start_until_it_is_back(watch: Watch) -> None:
    missing = ["The folder /a is not there."]
    begun = watch(lambda: list(missing))
    assert begun.problems == missing, "the first heartbeat tells of it already"
    missing.clear()
    wait_for(lambda: begun.problems == [])


def test_folder_that_hangs_is_reported_and_holds_nobody_up(watch: Watch) -> None:
    hangs, back = threading.Event(), threading.Event()

    def look() -> list[str]:
        hangs.set()
        back.wait(30)
        return []

    asked_at = time.monotonic()
    begun = watch(look, patience=0.1)
    assert time.monotonic() - asked_at < 5
    assert hangs.is_set()
    wait_for(lambda: begun.problems, 5)
    assert "does not answer" in begun.problems[0]
    back.set()
    wait_for(lambda: begun.problems == [], 5)


def test_error_of_the_disk_is_said_and_looked_at_again(watch: Watch) -> None:
    errors = [OSError(errno.EIO, "Input/output error")]

    def look() -> list[str]:
        if errors:
            raise errors[0]
        return []

    begun = watch(look)
    assert begun.problems == ["The folders cannot be looked at: Input/output error."]
    errors.clear()
    wait_for(lambda: begun.problems == [])
