"""What a page lived through, noted by the page itself (`recorder.js`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.support.waiting import wait_for

SCRIPT = Path(__file__).with_name("recorder.js")


def attempts(page: Page) -> list[float]:
    """When the page opened a WebSocket, in seconds since it was loaded."""
    found: list[float] = page.evaluate("portalLog.attempts")
    return found


def states(page: Page) -> list[str]:
    found: list[str] = page.evaluate("portalLog.states.map((one) => one.state)")
    return found


def words(page: Page) -> list[str]:
    """The texts of the badge, in order."""
    found: list[str] = page.evaluate("portalLog.words.map((one) => one.text)")
    return found


def strips(page: Page) -> list[str]:
    found: list[str] = page.evaluate("portalLog.strips.map((one) => one.text)")
    return found


def events(page: Page) -> list[dict[str, Any]]:
    """What the page's own scripts were told of jobs."""
    found: list[dict[str, Any]] = page.evaluate("portalLog.events")
    return found


def page_time(page: Page) -> float:
    found: float = page.evaluate("performance.now() / 1000")
    return found


def wait_for_state(page: Page, *wanted: str, seconds: float = 15) -> str:
    page.wait_for_function(
        "(wanted) => wanted.includes(document.body.dataset.state)",
        arg=list(wanted),
        timeout=seconds * 1000,
    )
    state: str = page.evaluate("document.body.dataset.state")
    return state


def shown(page: Page, job: int) -> dict[str, str]:
    """What the page shows of a job: its state and every figure."""
    return fields_of(page.evaluate("(job) => document.getElementById(`job-${job}`).outerHTML", job))


def fields_of(row: str) -> dict[str, str]:
    """The same of a row as the server renders it."""
    found = dict(re.findall(r'data-field="(\w+)"[^>]*>([^<]*)<', row))
    found |= dict(re.findall(r'data-(status|tone|seq)="([^"]*)"', row))
    return found


def until(page: Page, condition: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true value of ``condition``, while the browser goes on living."""
    return wait_for(condition, seconds, lambda: page.wait_for_timeout(50))
