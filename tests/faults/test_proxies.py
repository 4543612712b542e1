"""A proxy in front does to WebSockets what proxies do; the page says so and stays right."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support import recorder
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.proxies import FaultyWay, Nginx

NOTICE = "Using polling mode (WebSocket unavailable)"
OLDEST = 3.0
# Seconds for which a page shows the same figures of a running job, the longest so far.
WATCH_AGE = """() => {
  let changed = performance.now();
  const row = () => document.querySelector('[data-status=running]');
  let seq = row().dataset.seq;
  window.oldest = 0;
  const look = () => {
    if (!row()) return;
    if (row().dataset.seq !== seq) { seq = row().dataset.seq; changed = performance.now(); }
    window.oldest = Math.max(window.oldest, (performance.now() - changed) / 1000);
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.fixture(scope="module")
def running(bob: Person) -> int:
    """A job that runs through all of these tests and reports about once a second."""
    job = bob.transfer("Slow mirror", files=2000, mebibytes=0.1, limit="1M")
    row = bob.wait_for(job, "running")
    while bob.row(job).seq < row.seq + 2:
        pass
    return job


def oldest_figures(page: Page, seconds: float) -> float:
    page.evaluate(WATCH_AGE)
    page.wait_for_timeout(seconds * 1000)
    found: float = page.evaluate("oldest")
    return found


def test_nginx_that_forwards_the_upgrade_leaves_the_page_connected(
    nginx: Callable[..., Nginx], bob: Person, running: int, visit: Visit
) -> None:
    page = visit(bob, "/jobs", at=nginx("forwards").url)

    recorder.wait_for_state(page, "connected")
    assert oldest_figures(page, 4) < OLDEST
    assert recorder.states(page) == ["connecting", "connected"]
    assert recorder.strips(page) == []


@pytest.mark.parametrize("fault", ["strips", "refuses"])
def test_nginx_that_does_not_forward_the_upgrade_leaves_the_page_polling(
    fault: str, nginx: Callable[..., Nginx], bob: Person, running: int, visit: Visit
) -> None:
    page = visit(bob, "/jobs", at=nginx(fault).url)

    recorder.wait_for_state(page, "polling", seconds=6)
    expect(page.get_by_text(NOTICE)).to_be_visible()
    assert len(recorder.attempts(page)) == 3
    assert oldest_figures(page, 6) < OLDEST
    assert recorder.states(page) == ["connecting", "polling"]


def test_nginx_that_swallows_the_upgrade_holds_the_page_for_ten_seconds_at_most(
    nginx: Callable[..., Nginx], bob: Person, running: int, visit: Visit
) -> None:
    page = visit(bob, "/jobs", at=nginx("swallows").url)

    recorder.wait_for_state(page, "polling", seconds=12)
    assert recorder.page_time(page) < 12
    expect(page.get_by_text(NOTICE)).to_be_visible()


def test_page_stays_fresh_where_every_connection_is_cut_after_five_seconds(
    way: FaultyWay, bob: Person, running: int, visit: Visit
) -> None:
    way.lifetime = 5
    page = visit(bob, "/jobs", at=way.url)

    recorder.wait_for_state(page, "connected")
    assert oldest_figures(page, 16) < OLDEST
    assert len(recorder.attempts(page)) >= 3
    assert set(recorder.states(page)) == {"connecting", "connected", "reconnecting"}
    assert set(recorder.strips(page)) <= {"Reconnecting…"}


def test_doctor_passes_a_straight_connection(bob: Person, running: int, visit: Visit) -> None:
    page = visit(bob, "/connection")

    for check in ("websocket", "echo", "polling", "clock", "proxy"):
        verdict = page.locator(f"[data-check={check}] [data-verdict]")
        expect(verdict).to_have_text(re.compile("^Passed: "), timeout=10_000)


def test_doctor_says_what_to_change_in_a_proxy_that_strips_the_upgrade(
    nginx: Callable[..., Nginx], bob: Person, running: int, visit: Visit
) -> None:
    page = visit(bob, "/jobs", at=nginx("strips").url)
    recorder.wait_for_state(page, "polling", seconds=6)
    page.get_by_role("link", name="Why?").click()

    def verdict(check: str) -> Locator:
        return page.locator(f"[data-check={check}] [data-verdict]")

    expect(verdict("websocket")).to_have_text(
        re.compile("^Problem: the upgrade was refused. Make the proxy forward /socket.io/"),
        timeout=10_000,
    )
    expect(verdict("echo")).to_have_text(re.compile("^Problem: "), timeout=10_000)
    expect(verdict("polling")).to_have_text(re.compile("^Passed: "), timeout=10_000)
    expect(verdict("proxy")).to_have_text(re.compile("PORTAL_TRUSTED_PROXIES"), timeout=10_000)
    page.get_by_text("nginx", exact=True).click()
    expect(page.get_by_text("proxy_set_header Upgrade $http_upgrade;")).to_be_visible()
