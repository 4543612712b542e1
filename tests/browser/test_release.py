"""A page that was open before an upgrade goes on, and says that a newer version is there."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from tests.support import recorder
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer

NOTE = "A new version is available. Reload when you have nothing unsaved."


def test_open_page_says_once_that_a_newer_version_is_there_and_loads_it_when_asked(
    portal: PortalServer, visit: Visit
) -> None:
    def upgraded(route: Route) -> None:
        answer = route.fetch()
        polled = "hx-request" in route.request.headers
        newer = {"portal-release": "0123456789ab"} if polled else {}
        route.fulfill(response=answer, headers={**answer.headers, **newer})

    page = visit(Person(portal, "bob"), "/jobs")
    recorder.wait_for_state(page, "connected")
    note = page.locator("[data-new-release]")
    page.type("#q", "half-typed")
    page.evaluate("document.dispatchEvent(new CustomEvent('portal:refresh'))")
    expect(note).to_be_hidden()

    page.route("**/jobs", upgraded)
    page.evaluate("document.dispatchEvent(new CustomEvent('portal:refresh'))")
    expect(note).to_be_visible()
    expect(note).to_have_text(NOTE)
    expect(page.locator("#q")).to_have_value("half-typed")
    page.unroute("**/jobs")
    note.get_by_role("link", name="Reload").click()
    expect(note).to_be_hidden()
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
