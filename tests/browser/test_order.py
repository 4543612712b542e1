"""What comes late changes nothing: not a late event, not a slow answer to a poll."""

from __future__ import annotations

from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.support import recorder, scripted
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.recorder import until

SETTINGS = {**scripted.SETTINGS, "PORTAL_TEST_TIME_SCALE": "0.2"}


def test_progress_that_comes_late_cannot_revive_a_cancelled_job(
    portal: PortalServer, visit: Visit
) -> None:
    bob = Person(portal, "bob")
    job = bob.transfer("Late", source=scripted.endless(portal.root / "late"))
    held: list[str | bytes] = []
    pages: list[WebSocketRoute] = []
    hold = False

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        pages.append(socket)

        def down(message: str | bytes) -> None:
            if hold and '"job_progress"' in str(message):
                held.append(message)
            else:
                socket.send(message)

        server.on_message(down)

    page = visit(bob, "/settings")
    page.context.route_web_socket("**/socket.io/**", between)
    page.goto(f"{portal.url}/jobs")
    recorder.wait_for_state(page, "connected")
    until(page, lambda: recorder.events(page))
    hold = True
    until(page, lambda: held)
    bob.cancel(job)
    row = page.locator(f"#job-{job}")
    expect(row).to_have_attribute("data-status", "cancelled", timeout=10_000)
    before = recorder.shown(page, job)
    told = len(recorder.events(page))

    for message in held:
        pages[0].send(message)
    until(page, lambda: len(recorder.events(page)) >= told + len(held))

    assert recorder.shown(page, job) == before
    assert before["status"] == "cancelled"


def test_slow_answer_to_a_poll_cannot_undo_a_newer_push(portal: PortalServer, visit: Visit) -> None:
    bob = Person(portal, "bob")
    job = bob.transfer("Slow", source=scripted.endless(portal.root / "slow"))
    bob.wait_for(job, "running")
    blocked = True

    def between(socket: WebSocketRoute) -> None:
        if blocked:
            socket.close()
        else:
            socket.connect_to_server()

    slow: list[tuple[Route, object]] = []

    def answer(route: Route) -> None:
        if slow:
            route.abort()
        else:
            slow.append((route, route.fetch()))

    page = visit(bob, "/settings")
    page.context.route_web_socket("**/socket.io/**", between)
    page.route(f"**/api/jobs/{job}/progress", answer)
    page.goto(f"{portal.url}/jobs")
    recorder.wait_for_state(page, "polling")
    until(page, lambda: slow)

    blocked = False
    press_try_now(page)
    recorder.wait_for_state(page, "connected")
    bob.cancel(job)
    expect(page.locator(f"#job-{job}")).to_have_attribute("data-status", "cancelled")
    before = recorder.shown(page, job)
    route, response = slow[0]
    assert 'data-status="running"' in response.text()  # type: ignore[attr-defined]
    with page.expect_event("requestfinished", lambda one: f"jobs/{job}/progress" in one.url):
        route.fulfill(response=response)  # type: ignore[arg-type]
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")

    assert recorder.shown(page, job) == before


def press_try_now(page: Page) -> None:
    page.locator("[data-connection=strip] [data-try-now]").click()
