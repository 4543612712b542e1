"""A tab that was asleep, hidden or left shows today's data when it is looked at again."""

from __future__ import annotations

import pytest

from tests.support import recorder, scripted
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.recorder import until

SETTINGS = scripted.SETTINGS
HIDE = """(hidden) => {
  Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""
A_MINUTE_PASSES = """() => {
  const real = performance.now.bind(performance);
  performance.now = () => real() + 61_000;
}"""


@pytest.fixture(scope="module")
def bob(portal: PortalServer) -> Person:
    return Person(portal, "bob")


# A headless browser neither freezes tabs nor keeps pages to come back to, so a page is told what it
# would be told; what it does then is real.
SLEEP = {
    "frozen": (
        "document.dispatchEvent(new Event('freeze'))",
        "document.dispatchEvent(new Event('resume'))",
    ),
    "left": (
        "dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))",
        "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))",
    ),
}


@pytest.mark.parametrize("how", SLEEP)
def test_page_that_was_asleep_lets_go_of_its_socket_and_returns_with_todays_data(
    how: str, portal: PortalServer, bob: Person, visit: Visit
) -> None:
    job = bob.transfer("Asleep", source=scripted.endless(portal.root / how))
    page = visit(bob, "/jobs")
    recorder.wait_for_state(page, "connected")
    ended = portal.log.count("socket disconnected")
    falls_asleep, wakes = SLEEP[how]

    page.evaluate(falls_asleep)
    until(page, lambda: portal.log.count("socket disconnected") > ended)
    bob.cancel(job)
    bob.wait_for(job, "cancelled")
    assert recorder.shown(page, job)["status"] != "cancelled", "it still had its socket"
    page.evaluate(wakes)

    until(page, lambda: recorder.shown(page, job)["status"] == "cancelled", seconds=5)
    recorder.wait_for_state(page, "connected")


def test_tab_hidden_for_over_a_minute_fetches_its_data(bob: Person, visit: Visit) -> None:
    page = visit(bob, "/jobs")
    recorder.wait_for_state(page, "connected")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.evaluate(HIDE, True)
    page.evaluate(HIDE, False)
    page.wait_for_timeout(500)
    assert not [url for url in fetched if url.endswith("/jobs")], "a glance away is no minute"

    page.evaluate(HIDE, True)
    page.evaluate(A_MINUTE_PASSES)
    page.evaluate(HIDE, False)

    until(page, lambda: [url for url in fetched if "/jobs" in url], seconds=5)
    assert recorder.states(page)[-1] == "connected"
