"""Signed out, disabled or with another role: the page says so within a second and loses nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support import recorder, scripted
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.users import PASSWORD

SETTINGS = {**scripted.SETTINGS, "PORTAL_TEST_TIME_SCALE": "0.2"}


@pytest.fixture(scope="module")
def alice(portal: PortalServer) -> Person:
    return Person(portal, "alice")


@pytest.fixture(scope="module", autouse=True)
def busy(portal: PortalServer, alice: Person) -> int:
    """A job that sends events all the time."""
    job = alice.transfer("Busy", source=scripted.endless(portal.root / "endless"))
    alice.wait_for(job, "running")
    return job


@pytest.fixture
def charlie(portal: PortalServer, alice: Person) -> Iterator[Person]:
    yield Person(portal, "charlie")
    press_user_button(alice, "charlie", "enable")
    press_user_button(alice, "charlie", "role", role="viewer")


def press_user_button(admin: Person, name: str, act: str, **fields: str) -> None:
    page = admin.get("/users").text
    number = re.search(rf'id="role-(\d+)"(?=(?:(?!</form>).)*of {name}<)', page, re.DOTALL)
    assert number is not None, page
    answer = admin.post(f"/users/{number[1]}/{act}", **fields)
    assert answer.status_code == 303, answer.text


def wait_for_events(page: Page) -> None:
    recorder.until(page, lambda: recorder.events(page))


def frames_after(page: Page, moment: float) -> list[str]:
    """What came over the wire of jobs after that moment, by the page's clock."""
    found: list[str] = page.evaluate(
        "(since) => portalLog.frames.filter(({ at, data }) => at > since && data.includes('job_'))",
        moment,
    )
    return found


def test_user_who_is_disabled_gets_no_event_after_a_second_and_sees_nothing_any_more(
    charlie: Person, alice: Person, busy: int, visit: Visit
) -> None:
    page = visit(charlie, "/jobs")
    recorder.wait_for_state(page, "connected")
    wait_for_events(page)
    expect(page.locator(f"#job-{busy}")).to_be_visible()

    moment = recorder.page_time(page)
    press_user_button(alice, "charlie", "disable")
    recorder.wait_for_state(page, "signed-out", seconds=1.5)
    page.wait_for_timeout(3000)  # For as long as it takes to show that nothing comes any more.

    assert frames_after(page, moment + 1) == []
    expect(page.get_by_text("You are signed out – sign in")).to_be_visible()
    expect(page.get_by_role("heading")).to_have_text(["You are signed out"])
    assert shown(page) == ""


def shown(page: Page) -> str:
    """All that can be read below the bar of the page."""
    text: str = page.evaluate(
        """() => [...document.querySelectorAll('main > :not(.covered) *')]
          .filter((element) => getComputedStyle(element).visibility !== 'hidden')
          .map((element) => element.textContent).join('')"""
    )
    return text.strip()


def test_signing_out_in_another_tab_ends_this_one_and_signing_in_leads_back(
    charlie: Person, visit: Visit
) -> None:
    page = visit(charlie, "/jobs?status=running")
    recorder.wait_for_state(page, "connected")
    wait_for_events(page)
    other = visit(charlie, "/", inside=page.context)
    moment = recorder.page_time(page)
    other.click("summary[aria-label='Menu of charlie']")
    other.get_by_role("button", name="Sign out").click()

    recorder.wait_for_state(page, "signed-out", seconds=2)
    page.wait_for_timeout(2500)
    assert frames_after(page, moment + 1.5) == []
    page.get_by_role("link", name="sign in").click()
    page.fill("[name=username]", "charlie")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/jobs?status=running")
    recorder.wait_for_state(page, "connected")


def test_signing_in_again_in_another_tab_brings_this_one_back_to_life(
    charlie: Person, visit: Visit
) -> None:
    page = visit(charlie, "/jobs")
    recorder.wait_for_state(page, "connected")
    page.fill("#q", "half-typed")
    charlie.post("/logout")
    recorder.wait_for_state(page, "signed-out", seconds=2)
    assert shown(page) == ""

    charlie.sign_in()
    page.context.add_cookies([charlie.browser_cookie])  # type: ignore[list-item]
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    recorder.wait_for_state(page, "connected", seconds=5)
    wait_for_events(page)
    expect(page.locator("#q")).to_be_visible()
    assert page.input_value("#q") == "half-typed"


def test_changed_role_redraws_the_page_with_the_new_rights_and_signs_nobody_out(
    charlie: Person, alice: Person, visit: Visit
) -> None:
    page = visit(charlie, "/jobs")
    recorder.wait_for_state(page, "connected")
    expect(page.get_by_role("link", name="New job")).to_have_count(0)
    page.fill("#q", "half-typed")

    press_user_button(alice, "charlie", "role", role="operator")
    expect(page.get_by_role("link", name="New job").first).to_be_visible(timeout=3000)
    recorder.wait_for_state(page, "connected", seconds=3)

    assert page.evaluate("document.body.dataset.role") == "operator"
    assert "signed-out" not in recorder.states(page)
    assert page.input_value("#q") == "half-typed"
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    page.get_by_role("link", name="New job").first.click()
    expect(page.locator("[data-job-form]")).to_be_visible()


@pytest.mark.parametrize("path", ["/api/dashboard/stats", "/api/jobs/1/progress", "/jobs"])
def test_fragment_of_someone_signed_out_is_no_sign_in_page(
    portal: PortalServer, path: str, charlie: Person
) -> None:
    charlie.http.cookies.clear()
    answer = charlie.get(path, headers={"HX-Request": "true"}, allow_redirects=False)

    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/login"
    assert "password" not in answer.text
