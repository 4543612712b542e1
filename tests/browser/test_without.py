"""Browsers that lack something: WebSocket, or JavaScript altogether."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import BrowserContext, expect

from tests.support import recorder
from tests.support.pages import SignIn, Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer


def test_browser_without_websocket_polls_at_once_and_attempts_nothing(
    portal: PortalServer, visit: Visit
) -> None:
    bob = Person(portal, "bob")
    job = bob.transfer("Music library", files=40, mebibytes=0.25, limit="2M")
    bob.wait_for(job, "running")
    page = visit(bob, "/jobs", script="delete window.WebSocket")
    on_the_wire: list[str] = []
    page.on("request", lambda request: on_the_wire.append(request.url))
    page.on("websocket", lambda socket: on_the_wire.append(socket.url))
    page.reload()

    recorder.wait_for_state(page, "polling", seconds=3)
    expect(page.get_by_text("Using polling mode (WebSocket unavailable)")).to_be_visible()
    expect(page.locator(f"#job-{job}[data-status=completed]")).to_be_visible(timeout=30_000)
    assert page.locator(f"#job-{job} progress").get_attribute("value") in ("100", "100.0")
    assert recorder.states(page) == ["polling"] or recorder.states(page) == [
        "connecting",
        "polling",
    ]
    assert [url for url in on_the_wire if f"/api/jobs/{job}/progress" in url]
    assert [url for url in on_the_wire if "socket.io/" in url] == []


def test_everything_works_without_javascript(
    portal: PortalServer, new_context: Callable[..., BrowserContext], sign_in: SignIn
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    source = portal.root / "no script"
    source.mkdir()
    for number in range(40):
        (source / f"{number}.dat").write_bytes(b"x" * 250_000)
    sign_in(page, portal, "bob")

    page.get_by_role("link", name="New job").first.click()
    page.fill("[name=name]", "Scans")
    page.fill("[name=source]", str(source))
    page.fill("[name=destination]", str(portal.root / "no script copies"))
    page.click("summary:has-text('Options')")
    page.fill("[name=bandwidth_limit]", "400k")
    page.click("[type=submit]:has-text('Start job')")
    page.wait_for_url(re.compile(r"/jobs/\d+$"))
    # Nobody touches the page: it loads itself again while the job runs.
    percent = page.locator("[data-field=percent]")
    expect(percent).to_have_text(re.compile(r"[1-9]\d* %"), timeout=15_000)
    first = percent.inner_text()
    expect(percent).not_to_have_text(first, timeout=10_000)

    page.get_by_role("button", name="Cancel job Scans").click()
    expect(page.locator("[data-status=cancelled]")).to_be_visible(timeout=15_000)
    assert page.locator("meta[http-equiv=refresh]").count() == 0, "it still loads itself"
