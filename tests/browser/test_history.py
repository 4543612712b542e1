"""The history in a browser: found by its form, live, by keys, on a small screen, as a file."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import LocatorAssertions, Page, expect

from portal.db import session as database
from portal.db.session import session, write
from tests.support import histories
from tests.support.pages import AXE, LONG_NAME, RUN, Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def charlie(portal: PortalServer) -> Person:
    """At a portal where sixty transfers have ended, the newest of them failed."""
    engine = database.connect(f"sqlite:///{portal.data / 'portal.sqlite'}")
    rows = [histories.ended(n, NOON - timedelta(days=n)) for n in range(1, 61)]
    rows[0] |= {"status": "failed", "name": LONG_NAME, "source": f"/srv/{LONG_NAME}"}
    with write() as tx:
        histories.write(tx, rows)
        tx.commit()
    session.remove()
    engine.dispose()
    return Person(portal, "charlie")


def rows(page: Page) -> LocatorAssertions:
    # A click does not wait for the page that it leads to.
    return expect(page.locator(".history tbody tr"))


def test_filter_is_set_by_keys_and_lives_in_the_address(charlie: Person, visit: Visit) -> None:
    page = visit(charlie, "/history")
    rows(page).to_have_count(50)
    page.focus("#from")
    page.keyboard.type("11152026")
    page.press("#from", "Enter")
    expect(page.locator("#history-line")).to_have_text("5 transfers match, newest first")
    assert "from=2026-11-15" in page.url
    page.click(".chip:has-text('Failed')")
    expect(page.locator("#history-line")).to_have_text("1 transfer matches, newest first")
    expect(page.locator("#from")).to_have_value("2026-11-15")
    page.select_option("#user", "alice")
    page.click(".filter button")
    expect(page.locator("#history-line")).to_have_text("1 transfer matches, newest first")
    assert "status=failed" in page.url
    page.go_back()
    expect(page.locator("#user")).to_have_value("")
    page.click(".filter >> text=Clear")
    expect(page.locator("#history-line")).to_have_text("60 transfers finished, newest first")


def test_transfer_that_ends_appears_by_itself(
    charlie: Person, portal: PortalServer, visit: Visit
) -> None:
    page = visit(charlie, "/history?status=completed")
    page.wait_for_selector("body[data-state=connected]", state="attached")
    expect(page.locator("#history-line")).to_have_text("59 transfers match, newest first")
    (portal.root / "from").mkdir()
    (portal.root / "from" / "file").write_text("x")
    Person(portal, "bob").post(
        "/jobs",
        name="Just now",
        operation="copy",
        source=str(portal.root / "from"),
        destination=str(portal.root / "to"),
    )
    expect(page.locator("#history-line")).to_have_text("60 transfers match, newest first")
    expect(page.locator(".history tbody tr").first).to_contain_text("Just now")


def test_file_of_what_matches_is_downloaded_by_one_button(
    charlie: Person, visit: Visit, tmp_path: Path
) -> None:
    page = visit(charlie, "/history?from=2026-11-18&to=2026-11-19")
    with page.expect_download() as started:
        page.click("#history-export")
    assert started.value.suggested_filename.startswith("history-20")
    started.value.save_as(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["1", "2"]


def test_older_pages_are_reached_without_javascript(charlie: Person, visit: Visit) -> None:
    page = visit(charlie, "/history?to=2026-11-20", java_script_enabled=False)
    page.click("[rel=next]")
    rows(page).to_have_count(10)
    page.click("[rel=prev]")
    rows(page).to_have_count(50)
    page.fill("#from", "2020-01-01")
    page.fill("#to", "2020-01-02")
    page.click(".filter button")
    expect(page.locator(".empty-note")).to_contain_text("No finished transfers match.")


@pytest.mark.parametrize("width", [360, 768, 1100, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_history_fits_the_screen_and_is_for_everybody(
    charlie: Person, visit: Visit, width: int, theme: str
) -> None:
    size = {"width": width, "height": 800}
    page = visit(charlie, "/history", viewport=size, color_scheme=theme, bypass_csp=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    region = page.locator("[aria-label=Transfers]")
    assert region.evaluate("(one) => one.scrollWidth - one.clientWidth") <= 0
    for path in ("/history", "/history?from=2026-02-30&user=nobody"):
        page.goto(charlie.server.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.add_script_tag(path=str(AXE))
        assert page.evaluate(RUN) == []
