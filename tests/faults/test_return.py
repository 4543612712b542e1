"""What changed while a page was cut off is on it once it is back; what a person had begun stays."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser import recorder, scripted
from tests.browser.conftest import Visit
from tests.browser.people import Person
from tests.browser.portal_server import PortalServer
from tests.faults.proxies import FaultyWay

SETTINGS = {
    **scripted.SETTINGS,
    "PORTAL_TEST_TIME_SCALE": "0.2",
    "PORTAL_MAX_RUNNING_JOBS": "3",
}
# The middle of a word is selected in the search field, whatever stands around it.
HALF_TYPED = """() => {
  const field = document.getElementById('q');
  field.focus();
  field.setSelectionRange(2, 5);
  scrollTo({ top: 300, behavior: 'instant' });
}"""
LEFT_AS_IT_WAS = """() => {
  const field = document.activeElement;
  return [field.id, field.value, field.selectionStart, field.selectionEnd, Math.round(scrollY)];
}"""


def test_jobs_that_changed_meanwhile_are_right_after_the_reconnect_and_nothing_else_moved(
    portal: PortalServer, way: FaultyWay, bob: Person, visit: Visit
) -> None:
    jobs = [
        bob.transfer(f"Number {number}", source=scripted.endless(portal.root / f"{number}"))
        for number in range(20)
    ]
    bob.wait_for(jobs[0], "running")
    page = visit(bob, "/jobs", at=way.url, viewport={"width": 1000, "height": 400})
    recorder.wait_for_state(page, "connected")
    page.type("#q", "half-typed")
    page.evaluate(HALF_TYPED)
    before = page.evaluate(LEFT_AS_IT_WAS)
    assert before[-1] > 0, "the page is too short to scroll"

    way.fault = "refuse"
    recorder.wait_for_state(page, "reconnecting", seconds=2)
    changed = (jobs[0], jobs[10], jobs[19])
    for job in changed:
        assert bob.cancel(job).status_code == 303
    for job in changed:
        bob.wait_for(job, "cancelled")
    way.fault = ""
    recorder.wait_for_state(page, "connected")

    for job in changed:
        expect(page.locator(f"#job-{job}")).to_have_attribute("data-status", "cancelled")
        assert recorder.shown(page, job) == recorder.fields_of(bob.row(job).html)
    assert page.evaluate(LEFT_AS_IT_WAS) == before
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    for job in jobs:
        bob.cancel(job)


def test_line_that_looks_open_and_is_dead_is_found_within_ten_seconds(
    portal: PortalServer, way: FaultyWay, bob: Person, visit: Visit
) -> None:
    job = bob.transfer("Silent", source=scripted.endless(portal.root / "silent"))
    page = visit(bob, "/jobs", at=way.url)
    recorder.wait_for_state(page, "connected")
    expect(page.locator(f"#job-{job}")).to_have_attribute("data-status", "running")
    recorder.until(page, lambda: recorder.events(page))

    way.fault = "blackhole"
    expect(age_of(page, job)).to_have_text(re.compile(r"^[56] s ago$"), timeout=8000)
    recorder.wait_for_state(page, "reconnecting", "polling", "offline", seconds=5)
    recorder.wait_for_state(page, "offline", seconds=10)
    way.fault = ""
    recorder.wait_for_state(page, "connected", seconds=10)
    expect(age_of(page, job)).to_have_text("", timeout=3000)
    bob.cancel(job)


def age_of(page: Page, job: int) -> Locator:
    return page.locator(f"#job-{job} [data-field=age]")
