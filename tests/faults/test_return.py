"""What changed while a page was cut off is on it once it is back; what a person had begun stays."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.support import recorder, scripted
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.proxies import FaultyWay

SCALE = 0.2
SETTINGS = {
    **scripted.SETTINGS,
    "PORTAL_TEST_TIME_SCALE": str(SCALE),
    "PORTAL_MAX_RUNNING_JOBS": "3",
}
# What docs/realtime.md promises of a dead line, in seconds: a page asks after DOUBT without
# figures, at which it looks each LOOK, and gives the line up after ANSWER more. Ages and requests
# keep real time, whatever the scale.
DOUBT, LOOK, ANSWER = 5.0, 1.0, 5.0
# Waits of 1, 2 and 4 s, longer by a fifth at most, and 5 s for each attempt; 10 s for a poll.
THREE_ATTEMPTS, POLL = 1.2 * (1 + 2 + 4) + 3 * ANSWER, 10.0
#: In which a browser on a busy machine does what is due.
BROWSER_SECONDS = 1.5
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


def test_line_that_looks_open_and_is_dead_is_told_in_the_time_that_is_promised(
    portal: PortalServer, way: FaultyWay, bob: Person, visit: Visit
) -> None:
    job = bob.transfer("Silent", source=scripted.endless(portal.root / "silent"))
    bob.wait_for(job, "running")
    page = visit(bob, "/jobs", at=way.url)
    recorder.wait_for_state(page, "connected")
    recorder.until(page, lambda: recorder.events(page))

    way.fault = "blackhole"
    expect(age_of(page, job)).to_have_text(re.compile(r"^\d+ s ago$"), timeout=15_000)
    recorder.wait_for_state(page, "reconnecting", "polling", "offline", seconds=15)
    # By the page's own clock, in which a slow test has no part.
    waited = seconds_until(page, "reconnecting")
    assert DOUBT < waited <= DOUBT + LOOK + ANSWER * SCALE + BROWSER_SECONDS
    # No attempt is answered, then no poll.
    recorder.wait_for_state(page, "offline", seconds=40)
    waited = seconds_until(page, "offline") - seconds_until(page, "reconnecting")
    assert waited <= THREE_ATTEMPTS * SCALE + POLL + BROWSER_SECONDS

    way.fault = ""
    recorder.wait_for_state(page, "connected", seconds=30)
    expect(age_of(page, job)).to_have_text("", timeout=10_000)
    bob.cancel(job)


def seconds_until(page: Page, state: str) -> float:
    """Seconds from the last figure that arrived to the page's first entry into ``state`` after."""
    last = max(event["at"] for event in recorder.events(page))
    entries: list[float] = page.evaluate(
        "(state) => portalLog.states.filter((one) => one.state === state).map((one) => one.at)",
        state,
    )
    return min(at for at in entries if at > last) - last


def age_of(page: Page, job: int) -> Locator:
    return page.locator(f"#job-{job} [data-field=age]")
