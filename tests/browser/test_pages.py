"""Every page, in both themes and two widths: for everybody, and with nothing in the console."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.support import recorder, scripted
from tests.support.pages import AXE, RUN, Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer

SETTINGS = {**scripted.SETTINGS, "PORTAL_MAX_RUNNING_JOBS": "2"}
PAGES = (
    "/",
    "/?period=day",
    "/jobs",
    "/jobs?status=failed&q=nothing",
    "/jobs/1",
    "/jobs/2",
    "/jobs/3",
    "/jobs/new",
    "/history",
    "/settings",
    "/remotes",
    "/remotes/new",
    "/remotes/new?backend=s3",
    "/users",
    "/audit",
    "/workers",
    "/connection",
    "/nothing",
)


@pytest.fixture(scope="module")
def alice(portal: PortalServer) -> Person:
    """With jobs that run, wait, were cancelled and have failed."""
    person = Person(portal, "alice")
    running = person.transfer("Running", source=scripted.endless(portal.root / "running"))
    cancelled = person.transfer("Cancelled", source=scripted.endless(portal.root / "cancelled"))
    failed = person.transfer("Failed", source=portal.root / "running")
    person.wait_for(running, "running")
    person.cancel(cancelled)
    person.wait_for(cancelled, "cancelled")
    assert (running, cancelled, failed) == (1, 2, 3)
    return person


@pytest.fixture
def complaints() -> list[str]:
    """What the console said, and which answers were errors."""
    return []


def listen(page: Page, complaints: list[str]) -> None:
    page.on(
        "console",
        lambda said: (
            said.type in ("error", "warning")
            and "404" not in said.text
            and complaints.append(f"{page.url}: {said.text}")
        ),
    )
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    page.on(
        "response",
        lambda answer: (
            answer.status >= 400
            and not answer.url.endswith("/nothing")
            and complaints.append(f"{answer.url}: {answer.status}")
        ),
    )


def faults_for_everybody(page: Page, where: str) -> list[str]:
    found = []
    page.evaluate(Path(AXE).read_text())
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            found += [f"{where} {theme} {width}: {fault}" for fault in page.evaluate(RUN)]
    return found


@pytest.mark.slow
def test_every_page_is_for_everybody_and_leaves_the_console_empty(
    alice: Person, complaints: list[str], visit: Visit
) -> None:
    page = visit(alice, "/settings")
    listen(page, complaints)
    faults = []
    for path in PAGES:
        page.goto(alice.server.url + path)
        recorder.wait_for_state(page, "connected")
        faults += faults_for_everybody(page, path)
        faults += page.evaluate("portalLog.violations")
    assert not faults, "\n".join(sorted(set(faults)))
    assert complaints == []


def test_sign_in_is_for_everybody(portal: PortalServer, page: Page, complaints: list[str]) -> None:
    listen(page, complaints)
    page.goto(f"{portal.url}/login")

    assert faults_for_everybody(page, "/login") == []
    assert complaints == []


@pytest.mark.parametrize("state", ["reconnecting", "polling", "offline", "signed-out"])
def test_strip_of_each_state_is_for_everybody(state: str, alice: Person, visit: Visit) -> None:
    page = visit(alice, "/jobs")
    recorder.wait_for_state(page, "connected")
    # Shown by the page's own module; how a page gets there is other tests' matter. Its connection
    # sleeps meanwhile, or it would tell the truth in between.
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    page.evaluate(
        """(state) => {
          const detail = { state, attempts: 3, attempting: false, since: Date.now(), reason: 'test',
            nextAttemptAt: Date.now() + 9000, roundTrip: null, previous: 'connected',
            lastData: Date.now() };
          document.body.dataset.state = state;
          document.dispatchEvent(new CustomEvent('portal:connection', { detail }));
        }""",
        state,
    )
    page.locator("[data-connection=strip]").wait_for(timeout=3000)
    page.wait_for_timeout(400)  # Colours that fade in are judged when they have arrived.

    assert faults_for_everybody(page, state) == []
