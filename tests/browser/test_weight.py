"""Light to load, still while it changes, quick to answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser import recorder, scripted
from tests.browser.conftest import Visit
from tests.browser.people import Person
from tests.browser.portal_server import PASSWORD, PortalServer

RUNNING = 50
SETTINGS = {**scripted.SETTINGS, "PORTAL_MAX_RUNNING_JOBS": str(RUNNING)}
MOST_BYTES = 200 * 1024
SLOWEST = 100
WATCH = """() => {
  window.shifts = [];
  window.slow = [];
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
    const from = entry.sources.map(({ node }) => (node?.outerHTML ?? node?.data)?.slice(0, 80));
    if (!entry.hadRecentInput) shifts.push([entry.value, ...from]);
  })).observe({ type: 'layout-shift', buffered: true });
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
    if (entry.interactionId) slow.push([entry.name, entry.duration]);
  })).observe({ type: 'event', durationThreshold: 16, buffered: true });
}"""


def test_first_visit_is_light_and_asks_no_other_host(
    portal: PortalServer, new_context: Callable[..., BrowserContext]
) -> None:
    page = new_context().new_page()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda one: sizes.append(one["encodedDataLength"]))
    answers: dict[str, dict[str, str]] = {}
    page.on("response", lambda answer: answers.update({answer.url: answer.headers}))
    page.goto(f"{portal.url}/login")
    page.fill("[name=username]", "bob")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    recorder.wait_for_state(page, "connected")
    page.goto(f"{portal.url}/jobs")
    recorder.wait_for_state(page, "connected")

    assert sum(sizes) <= MOST_BYTES, f"{sum(sizes) / 1024:.0f} KB"
    assert all(url.startswith(portal.url + "/") for url in answers)
    static = {url: headers for url, headers in answers.items() if "/static/" in url}
    assert len(static) > 10
    for url, headers in static.items():
        assert re.search(r"/static/[0-9a-f]{12}/", url)
        assert headers["content-encoding"] == "gzip", url
        assert "immutable" in headers["cache-control"], url
        assert "max-age=31536000" in headers["cache-control"], url


@pytest.mark.slow
def test_fifty_running_jobs_move_nothing_but_their_numbers_and_leave_the_page_quick(
    portal: PortalServer, visit: Visit
) -> None:
    bob = Person(portal, "bob")
    source = scripted.endless(portal.root / "endless")
    jobs = [bob.transfer(f"Number {number}", source=source) for number in range(RUNNING)]
    for job in jobs:
        bob.wait_for(job, "running")
    page = visit(bob, "/")
    recorder.wait_for_state(page, "connected")
    assert page.locator("[data-status=running]").count() == RUNNING
    page.evaluate(WATCH)
    began = len(recorder.events(page))

    recorder.until(page, lambda: len(recorder.events(page)) > began + 4 * RUNNING, seconds=30)
    assert page.evaluate("shifts") == []
    for _ in range(5):
        interact(page, jobs[0])
    page.wait_for_timeout(300)
    slow = page.evaluate("slow")
    assert [one for one in slow if one[1] > SLOWEST] == []


def interact(page: Page, job: int) -> None:
    page.click("summary[aria-label='Menu of bob']")
    page.keyboard.press("Escape")
    page.click("[data-connection=panel] summary")
    page.keyboard.press("Escape")
    page.click(f"#cancel-{job}")
    page.click(f"#job-{job} .confirm >> text=Keep it")
