"""Every page fits a small screen, and its words stand out from what is behind them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.support.pages import FAINT, LONG_NAME, SignIn
from tests.support.portal_server import PortalServer

PAGES = (
    "/",
    "/jobs",
    "/jobs/new",
    "/history",
    "/settings",
    "/remotes",
    "/remotes/new?backend=sftp",
    "/users",
    "/workers",
    "/audit",
    "/connection",
    "/nothing",
)


def start_job(page: Page, server: PortalServer, name: str) -> None:
    source = server.root / "a folder with a rather long name" / "and another below it"
    source.mkdir(parents=True)
    (source / "file").write_bytes(b"x" * 3_000_000)
    page.goto(f"{server.url}/jobs/new")
    page.fill("[name=name]", name)
    page.fill("[name=source]", str(source))
    page.fill("[name=destination]", str(server.root / "copies"))
    page.click("[data-job-form] summary")
    page.fill("[name=bandwidth_limit]", "100k")
    page.click("[type=submit] >> text=Start job")
    page.wait_for_url("**/jobs/1")


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_fit_a_small_screen_and_their_text_has_contrast(
    theme: str,
    new_context: Callable[..., BrowserContext],
    portal_server: PortalServer,
    sign_in: SignIn,
) -> None:
    page = new_context(viewport={"width": 360, "height": 740}, color_scheme=theme).new_page()
    page.goto(f"{portal_server.url}/login")
    faults = look(page)
    sign_in(page, portal_server, "alice")
    start_job(page, portal_server, LONG_NAME)
    for path in ("/jobs/1", *PAGES):
        page.goto(portal_server.url + path)
        page.wait_for_selector("body[data-state=connected]", state="attached")
        faults += [f"{path}: {fault}" for fault in look(page)]
    page.goto(f"{portal_server.url}/settings")
    page.click("form[action='/settings'] >> text=Save")
    page.wait_for_selector("[role=status] >> text=Your settings are saved.")
    faults += [f"a notice: {fault}" for fault in look(page)]

    assert not faults, "\n".join(faults)


def look(page: Page) -> list[str]:
    faults = []
    for width in (360, 768, 1440):
        page.set_viewport_size({"width": width, "height": 740})
        wide = page.evaluate("document.documentElement.scrollWidth")
        faults += [f"{wide} px wide at {width}"] if wide > width else []
        faults += page.evaluate(FAINT)
    return sorted(set(faults))


def test_focus_is_seen_on_every_stop_of_the_tab_key(
    page: Page, portal_server: PortalServer, sign_in: SignIn
) -> None:
    sign_in(page, portal_server, "bob")
    page.goto(f"{portal_server.url}/jobs/new")
    stops = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => {
              const style = getComputedStyle(document.activeElement);
              const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
              const name = document.activeElement.outerHTML.slice(0, 80);
              return [name, ring || style.boxShadow !== 'none'];
            }"""
        )
        stops.add(tuple(stop))

    assert not [name for name, seen in stops if not seen]
    assert len(stops) > 8
