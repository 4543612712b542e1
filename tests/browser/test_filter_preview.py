"""Which files the filters of a new job match: in place, by keys, without JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.pages import AXE, RUN, Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer


@pytest.fixture(scope="module")
def bob(portal: PortalServer) -> Person:
    (portal.root / "photos").mkdir()
    for number in range(30):
        (portal.root / "photos" / f"{number:02}.jpg").write_bytes(b"x" * 1024)
    (portal.root / "photos" / "notes.txt").write_text("x")
    return Person(portal, "bob")


def typed(page: Page, portal: PortalServer, pattern: str) -> None:
    page.fill("[name=name]", "Half typed")
    page.fill("[name=source]", str(portal.root / "photos"))
    if page.locator("details.options:not([open])").count():
        page.click("details.options summary")
    page.fill("[name=include]", pattern)


def test_files_that_match_are_shown_in_place_and_nothing_typed_is_lost(
    bob: Person, portal: PortalServer, visit: Visit
) -> None:
    page = visit(bob, "/jobs/new", bypass_csp=True)
    typed(page, portal, "*.jpg")
    page.focus("#preview")
    page.keyboard.press("Enter")
    said = page.locator(".preview [role=status]")
    expect(said).to_contain_text("30 files (30.0 KiB) match")
    expect(said).to_contain_text("and 20 more")
    expect(page.locator("#preview")).to_be_focused()
    assert page.url.endswith("/jobs/new")
    expect(page.locator("[name=name]")).to_have_value("Half typed")
    page.fill("[name=include]", "notes*")
    page.click("#preview")
    expect(said).to_contain_text("1 file (1 B) matches")
    page.add_script_tag(path=str(AXE))
    assert page.evaluate(RUN) == []


def test_what_is_no_pattern_is_said_beside_its_field(
    bob: Person, portal: PortalServer, visit: Visit
) -> None:
    page = visit(bob, "/jobs/new")
    typed(page, portal, "[a-")
    page.click("#preview")
    expect(page.locator("#include-error-1")).to_contain_text("the [ is never closed")
    expect(page.locator("[name=include]")).to_be_focused()
    expect(page.locator("[name=include]")).to_have_value("[a-")
    page.fill("[name=include]", "*.jpg")
    page.fill("[name=source]", "")
    page.click("#preview")
    expect(page.locator("#source-error-1")).to_have_text("Enter a source.")
    expect(page.locator("#include-error-1")).to_have_count(0)


def test_enter_in_a_field_makes_the_job(bob: Person, portal: PortalServer, visit: Visit) -> None:
    page = visit(bob, "/jobs/new")
    typed(page, portal, "*.jpg")
    page.fill("[name=destination]", str(portal.root / "copies"))
    page.press("[name=name]", "Enter")
    expect(page.locator("h1")).to_have_text("Half typed")


def test_preview_works_without_javascript(bob: Person, portal: PortalServer, visit: Visit) -> None:
    page = visit(
        bob, "/jobs/new", java_script_enabled=False, viewport={"width": 360, "height": 800}
    )
    typed(page, portal, "*.txt")
    page.click("#preview")
    expect(page.locator(".preview [role=status]")).to_contain_text("1 file (1 B) matches")
    expect(page.locator("[name=include]")).to_have_value("*.txt")
