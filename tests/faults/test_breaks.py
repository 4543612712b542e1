"""The server dies in mid-transfer and comes back: seen, survived, explained."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.support import recorder
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.proxies import FaultyWay

DOWN_SECONDS = 10
LADDER = (1, 2, 4, 8, 16, 30)


@pytest.mark.slow
def test_page_climbs_the_ladder_while_the_server_is_down_and_shows_its_data_after(
    portal: PortalServer, bob: Person, visit: Visit
) -> None:
    job = bob.transfer("Laboratory archive", files=200, mebibytes=0.25, limit="4M")
    bob.wait_for(job, "running")
    page = visit(bob, "/jobs")
    recorder.wait_for_state(page, "connected")
    page.wait_for_function("() => document.querySelector('progress').value > 0", timeout=15_000)

    portal.kill()
    killed = time.monotonic()
    recorder.wait_for_state(page, "reconnecting", seconds=2)
    page.wait_for_timeout((killed + DOWN_SECONDS - time.monotonic()) * 1000)
    portal.start()
    recorder.wait_for_state(page, "connected", seconds=30)

    lost, *_ = page.evaluate(
        "portalLog.states.filter((one) => one.state === 'reconnecting').map((one) => one.at)"
    )
    tries = [at for at in recorder.attempts(page) if at >= lost]
    waits = [after - before for before, after in zip([lost, *tries], tries, strict=False)]
    assert len(waits) >= 3
    for wait, step in zip(waits, LADDER, strict=False):
        assert step * 0.8 <= wait <= step * 1.2 + 0.15, f"{waits} instead of {LADDER}"
    # Polls may find the server before the next attempt does: then the strip says so meanwhile.
    told = [word for word in recorder.words(page) if word not in ("Live", "Connecting…")]
    assert told[:4] == ["Connected", "Reconnecting…", "Polling", "Offline"]
    assert told[4:] in (["Connected"], ["Polling", "Connected"])
    strips = recorder.strips(page)
    assert strips[:2] == ["Reconnecting…", "Using polling mode (WebSocket unavailable)"]
    assert re.fullmatch(r"Offline – showing data from \d\d:\d\d:\d\d", strips[2])

    bob.wait_for(job, "completed")
    recorder.until(page, lambda: recorder.shown(page, job)["status"] == "completed", seconds=2)
    assert recorder.shown(page, job) == recorder.fields_of(bob.row(job).html)
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


@pytest.mark.slow
def test_browser_without_network_says_from_when_its_data_is_and_comes_back_by_itself(
    way: FaultyWay, bob: Person, visit: Visit
) -> None:
    job = bob.transfer("Weekly dumps", files=300, mebibytes=0.25, limit="2M")
    bob.wait_for(job, "running")
    page = visit(bob, "/jobs", at=way.url)
    recorder.wait_for_state(page, "connected")
    page.wait_for_function("() => document.querySelector('progress').value > 0", timeout=15_000)
    row = page.locator(f"#job-{job}")

    page.context.set_offline(True)
    way.cut()  # A network that goes takes open connections along; the browser's switch leaves them.
    gone = time.monotonic()
    last_data = time.strftime("%H:%M", time.localtime())
    recorder.wait_for_state(page, "offline", seconds=14)
    text = page.locator("[data-connection=text]").inner_text()
    assert re.fullmatch(rf"Offline – showing data from {last_data}:\d\d", text) or "59" in text
    expect(row.locator("[data-field=age]")).to_have_text(re.compile(r"\d+ s ago"))
    expect(row).to_have_class(re.compile("stale"), timeout=18_000)
    age = int(row.locator("[data-field=age]").inner_text().split()[0])
    assert 15 <= age <= 17
    page.wait_for_timeout(max(0.0, gone + 20 - time.monotonic()) * 1000)
    page.context.set_offline(False)

    recorder.wait_for_state(page, "connected", seconds=3)
    expect(row).not_to_have_class(re.compile("stale"), timeout=3000)
    expect(row.locator("[data-field=age]")).to_have_text("")
    bob.cancel(job)
