"""Waiting for what is to happen, and no longer than it may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_for(
    condition: Callable[[], Any],
    seconds: float = 10.0,
    pause: Callable[[], object] | None = None,
) -> Any:
    """The first true value of ``condition``; fails after ``seconds``. ``pause`` is what is done
    between two looks, if not to sleep. Most conditions ask a database: who has waited for long
    looks less often, a twentieth of that time apart, and leaves the processor to others."""
    begun = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - begun
        assert waited < seconds, f"still not after {seconds} s: {condition}"
        if pause is None:
            time.sleep(min(max(0.02, waited / 20), 0.1))
        else:
            pause()
    return value
