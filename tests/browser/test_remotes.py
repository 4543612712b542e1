"""From nothing to a transfer: an admin sets a remote up, and picks it by the dialog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.files import fill, sums
from tests.support.pages import AXE, RUN, Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.storages import PASSWORD, USER, Storage

SETTINGS = {"PORTAL_REMOTES_ALLOW_LOCAL": "true"}


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    (tmp_path / "storage" / "shared").mkdir(parents=True)
    with Storage("sftp", tmp_path / "storage") as running:
        yield running


def test_admin_comes_from_an_empty_page_to_a_transfer_and_its_log(
    portal: PortalServer, visit: Visit, storage: Storage
) -> None:
    sent = sums(fill(portal.root / "from"))
    page = visit(Person(portal, "alice"), "/remotes")
    expect(page.locator(".empty-note")).to_contain_text("No remotes yet.")
    page.click(".empty-note a")
    page.click(".backend:has-text('SFTP')")
    page.fill("[name=name]", "nas")
    page.fill("[name=option_host]", "two words")
    page.fill("[name=option_port]", str(storage.port))
    page.fill("[name=option_user]", USER)
    page.fill("[name=option_pass]", PASSWORD)
    page.click("text=Add remote")
    expect(page.locator("[name=option_host]")).to_be_focused()
    expect(page.locator("#option_pass-error-1")).to_contain_text("Enter this again")
    page.fill("[name=option_host]", "127.0.0.1")
    page.fill("[name=option_pass]", PASSWORD)
    page.click("text=Add remote")
    expect(page.locator(".verdict")).to_contain_text("Not tested")
    page.click("#test")
    expect(page.locator(".verdict")).to_contain_text("Works: ")
    page.evaluate(AXE.read_text())
    assert page.evaluate(RUN) == []

    page.goto(f"{portal.url}/jobs/new")
    page.fill("[name=name]", "To the NAS")
    page.fill("[name=source]", str(portal.root / "from"))
    page.click("[data-browse=destination]")
    expect(page.locator(".browse-row:focus")).to_be_visible()
    page.keyboard.type("nas")
    page.keyboard.press("Enter")
    expect(page.locator(".browse-trail [aria-current]")).to_have_text("nas:")
    page.locator(".browse-row:has-text('shared')").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-choose-here]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#destination")).to_have_value("nas:shared")
    page.click("[data-start]")
    expect(page.locator("[data-status=completed]").first).to_be_visible(timeout=30_000)
    expect(page.locator(".log")).to_contain_text("Copied (new)")
    expect(page.locator(".log")).not_to_contain_text(PASSWORD)
    assert sums(storage.folder / "shared") == sent
    assert page.evaluate("portalLog.violations") == []


def test_pending_test_says_so_and_is_not_asked_twice(
    portal: PortalServer, visit: Visit, storage: Storage
) -> None:
    alice = Person(portal, "alice")
    fields = {f"option_{name}": text for name, text in storage.options().items()}
    made = alice.post("/remotes", backend="sftp", name="slow", role="operator", **fields)
    page = visit(alice, made.headers["Location"])
    page.evaluate("""() => {
      window.prevented = [];
      document.addEventListener('submit', (event) => {
        window.prevented.push(event.defaultPrevented);
        event.preventDefault();  // it stays on its way
      });
    }""")
    page.click("#test")
    expect(page.locator("#test")).to_have_text("Testing…")
    expect(page.locator("#test")).to_have_attribute("aria-busy", "true")
    page.click("#test")
    assert page.evaluate("window.prevented") == [False, True]
