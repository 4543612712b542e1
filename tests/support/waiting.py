"""Waiting for what is to happen, and no longer than it may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_for(
    condition: Callable[[], Any],
    seconds: float = 10.0,
    pause: Callable[[], object] = lambda: time.sleep(0.02),
) -> Any:
    """The first true value of ``condition``; fails after ``seconds``. ``pause`` is what is done
    between two looks."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still not after {seconds} s: {condition}"
        pause()
    return value
