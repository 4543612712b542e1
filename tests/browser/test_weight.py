"""Light to load, still while it changes, quick to answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support import recorder, scripted
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.users import PASSWORD

PORTAL = PortalServer
RUNNING = 50
STEPS = 22
SETTINGS = {**scripted.SETTINGS, "PORTAL_MAX_RUNNING_JOBS": str(RUNNING)}
MAX_BYTES = 200 * 1024
SLOWEST = 100
# A final status may move things: the refetch that it brings puts the job elsewhere.
WATCH = """() => {
  let over = false;
  document.addEventListener('portal:status', ({ detail }) => {
    if (detail.new_status === 'completed') setTimeout(() => { over = true; }, 200);
  });
  window.shifts = [];
  window.slow = [];
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
    const corner = ({ x, y }) => `${Math.round(x)},${Math.round(y)}`;
    const from = entry.sources.map(({ node, previousRect, currentRect }) =>
      `${(node?.outerHTML ?? node?.data ?? '').trim().slice(0, 60)} ` +
      `${corner(previousRect)} to ${corner(currentRect)}`);
    if (!entry.hadRecentInput && !over) shifts.push([entry.value, ...from].join(' / '));
  })).observe({ type: 'layout-shift' });
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
    if (entry.interactionId) slow.push([entry.name, entry.duration]);
  })).observe({ type: 'event', durationThreshold: 16, buffered: true });
}"""


def test_first_visit_is_light_and_asks_no_other_host(
    portal: PortalServer, new_context: Callable[..., BrowserContext]
) -> None:
    bob = Person(portal, "bob")
    moved = scripted.script(portal.root / "moved", [scripted.transferring(62, 100)] * 3)
    bob.wait_for(bob.transfer("Moved", source=moved), "completed")
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
    page.wait_for_selector("#throughput .chart-canvas[tabindex]")
    page.goto(f"{portal.url}/jobs")
    recorder.wait_for_state(page, "connected")

    assert sum(sizes) <= MAX_BYTES, f"{sum(sizes) / 1024:.0f} KB"
    assert all(url.startswith(portal.url + "/") for url in answers)
    static = {url: headers for url, headers in answers.items() if "/static/" in url}
    assert len(static) > 10
    for url, headers in static.items():
        assert re.search(r"/static/[0-9a-f]{12}/", url)
        assert headers["content-encoding"] == "gzip", url
        assert "immutable" in headers["cache-control"], url
        assert "max-age=31536000" in headers["cache-control"], url


def growing() -> Iterable[scripted.Statistics]:
    """Figures of every width: bytes to gibibytes, one digit of percent to three, many files."""
    total = 3 * 1024**3
    for step in range(1, STEPS + 1):
        done = int(1000 ** (step / STEPS * 3) * 3.2)
        yield (
            scripted.scanning(10 ** (step % 5))
            if step < 4
            else {
                **scripted.transferring(min(done, total), total),
                "transfers": step**3,
                "totalTransfers": STEPS**3,
            }
        )


@pytest.mark.slow
def test_nothing_moves_when_figures_grow(portal: PortalServer, visit: Visit) -> None:
    bob = Person(portal, "bob")
    job = bob.transfer("Growing", source=scripted.script(portal.root / "growing", growing()))
    bob.wait_for(job, "running")
    pages = {}
    for width in (360, 1280):
        for path in ("/", "/jobs", f"/jobs/{job}"):
            page = visit(bob, path, viewport={"width": width, "height": 800})
            recorder.wait_for_state(page, "connected")
            page.evaluate(WATCH)
            pages[path, width] = page

    for page in pages.values():
        page.wait_for_function(
            "(job) => document.querySelector(`#job-${job} progress`).value > 99",
            arg=job,
            timeout=30_000,
        )
    shifts = {where: page.evaluate("shifts") for where, page in pages.items()}
    moved = [f"{where}: {one}" for where, found in shifts.items() for one in found]
    assert not moved, "\n".join(moved)
    bob.cancel(job)


@pytest.mark.exclusive
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
    # What else the machine does only adds, now and then: most rounds are quick.
    rounds = [slow_interactions(page, jobs[0]) for _ in range(5)]
    assert rounds.count([]) >= 3, rounds


def slow_interactions(page: Page, job: int) -> list[list[object]]:
    page.evaluate("slow.length = 0")
    click_around(page, job)
    page.wait_for_timeout(300)
    found: list[list[object]] = page.evaluate("slow")
    return [one for one in found if int(str(one[1])) > SLOWEST]


def click_around(page: Page, job: int) -> None:
    page.click("summary[aria-label='Menu of bob']")
    page.keyboard.press("Escape")
    page.click("[data-connection=panel] summary")
    page.keyboard.press("Escape")
    page.click(f"#cancel-{job}")
    # By key: a click at once, where "Cancel" was, would count as the second of a double click.
    page.keyboard.press("Enter")
    expect(page.locator(f"#cancel-{job}")).to_be_visible()
