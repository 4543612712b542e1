"""The dialog that looks for a folder: by keys alone, with many entries, and for everybody."""

from __future__ import annotations

import contextlib
import re

import pytest
from playwright.sync_api import Error, Page, Route, expect

from tests.support.pages import AXE, RUN, Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer

MANY = 10_000


@pytest.fixture(scope="module")
def bob(portal: PortalServer) -> Person:
    for name in ("archive", "photos/2025", "photos/2026 & more"):
        (portal.root / name).mkdir(parents=True)
    many = portal.root / "many"
    many.mkdir()
    for number in range(MANY):
        (many / f"entry {number:05}").mkdir()
    return Person(portal, "bob")


@pytest.fixture
def page(bob: Person, visit: Visit) -> Page:
    return visit(bob, "/jobs/new")


def rows(page: Page) -> list[str]:
    return [text.strip() for text in page.locator(".browse-name").all_inner_texts()]


def test_escape_closes_and_changes_nothing(page: Page) -> None:
    page.fill("#destination", "typed before")
    page.click("[data-browse=destination]")
    expect(page.locator(".browse-problem")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#destination")).to_be_focused()
    expect(page.locator("#destination")).to_have_value("typed before")


def test_ten_thousand_entries_do_not_freeze_the_page(page: Page, portal: PortalServer) -> None:
    page.fill("#source", str(portal.root / "many"))
    page.click("[data-browse=source]")
    expect(page.locator("#browse-line")).to_have_text("10,000 entries")
    assert len(rows(page)) == 200
    page.click("[data-more]")
    expect(page.locator(".browse-row")).to_have_count(400)
    page.fill("#browse-q", "09999")
    expect(page.locator(".browse-row")).to_have_count(1)
    page.press("#browse-q", "ArrowDown")
    expect(page.locator(".browse-row")).to_be_focused()


def test_folder_of_many_entries_is_gone_through_by_keys(page: Page, portal: PortalServer) -> None:
    page.fill("#source", str(portal.root / "many"))
    page.click("[data-browse=source]")
    focused = page.locator(".browse-row:focus .browse-name")
    expect(focused).to_have_text("entry 00000")
    page.keyboard.press("PageDown")
    expect(focused).to_have_text("entry 00010")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator(".browse-row")).to_have_count(400)
    expect(focused).to_have_text("entry 00200")
    page.keyboard.press("Home")
    expect(focused).to_have_text("entry 00000")
    page.keyboard.type("entry 0039")
    expect(focused).to_have_text("entry 00390")
    page.wait_for_timeout(1000)  # the beginning of a name is over
    page.keyboard.type("entry 0777")  # not among those that are shown
    expect(page.locator("#browse-q")).to_have_value("entry 0777")
    expect(page.locator(".browse-row")).to_have_count(10)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".browse-trail [aria-current]")).to_have_text("entry 07770")
    expect(page.locator("[data-choose-here]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#source")).to_have_value(str(portal.root / "many" / "entry 07770"))
    expect(page.locator("#source")).to_be_focused()


def test_scrolling_brings_the_rest(page: Page, portal: PortalServer) -> None:
    page.fill("#source", str(portal.root / "many"))
    page.click("[data-browse=source]")
    for shown in (400, 600):
        page.locator("[data-more]").scroll_into_view_if_needed()
        expect(page.locator(".browse-row")).to_have_count(shown)


def test_late_answer_reaches_no_other_field(page: Page, portal: PortalServer) -> None:
    """The first question is still on its way when the dialog is opened for the other field."""
    asked: list[Route] = []

    def hold(route: Route) -> None:
        asked.append(route)

    page.route("**/browse?side=source**", hold)
    page.click("[data-browse=source]")
    expect(page.locator("#browse-said")).to_have_text("Looking…")
    expect(page.locator("#browse-said")).to_be_visible()
    page.keyboard.press("Escape")
    page.click("[data-browse=destination]")
    expect(page.locator(".browse-row").first).to_be_focused()
    with contextlib.suppress(Error):  # the browser has given it up
        asked[0].fulfill(body='<p id="late">late</p>')
    page.keyboard.press("ArrowRight")
    expect(page.locator(".browse-trail [aria-current]")).to_have_text(re.compile("/files$"))
    assert page.locator("#late").count() == 0
    page.click("[data-choose-here]")
    expect(page.locator("#destination")).to_have_value(str(portal.root))
    expect(page.locator("#source")).to_have_value("")


def test_new_folder_is_made_and_a_wrong_name_said_beside_it(
    page: Page, portal: PortalServer
) -> None:
    page.fill("#destination", str(portal.root / "archive"))
    page.click("[data-browse=destination]")
    page.fill("#browse-name", "a/b")
    page.keyboard.press("Enter")
    expect(page.locator("#browse-name-error")).to_be_visible()
    expect(page.locator("#browse-name")).to_be_focused()
    page.fill("#browse-name", "new")
    page.keyboard.press("Enter")
    expect(page.locator(".browse-trail [aria-current]")).to_have_text("new")
    assert (portal.root / "archive" / "new").is_dir()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_dialog_is_for_everybody(
    bob: Person, visit: Visit, portal: PortalServer, theme: str, width: int
) -> None:
    page = visit(bob, "/jobs/new", color_scheme=theme, viewport={"width": width, "height": 740})
    page.evaluate(AXE.read_text())
    for at in ("", str(portal.root), "/etc"):
        page.fill("#source", at)
        page.click("[data-browse=source]")
        expect(page.locator(".browse-row").first).to_be_visible()
        assert page.evaluate(RUN) == []
        page.keyboard.press("Escape")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("portalLog.violations") == []
