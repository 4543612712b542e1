"""The second step and single sign-on in a real browser: its policy, its cookies, its redirects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.support.pages import FAINT
from tests.support.portal_server import PortalServer, with_users
from tests.support.provider import Provider
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow
#: A folder to look at what was looked at.
PICTURES = os.environ.get("PICTURES")


@pytest.fixture
def both(migrated: Path, tmp_path: Path) -> Iterator[tuple[PortalServer, Provider]]:
    server = with_users(tmp_path, migrated)
    server.extras = ("oidc",)
    provider = Provider(f"{server.url}/sign-on/callback")
    server._settings.update(
        PORTAL_OIDC_ISSUER=provider.issuer,
        PORTAL_OIDC_CLIENT_ID="portal",
        PORTAL_OIDC_CLIENT_SECRET="a secret that the two share, of forty letters",
        PORTAL_OIDC_ROLES="ops:operator",
        PORTAL_OIDC_NAME="the example account",
        PORTAL_REQUIRE_SECOND_FACTOR="admin",
        NO_PROXY="127.0.0.1",
    )
    try:
        wait_for(provider.ready, 30)
        server.start()
        yield server, provider
    finally:
        server.clean_up()
        provider.stop()


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the browser says against a page; the policy of the site must not be in its way."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else 0)
    yield said
    assert [text for text in said if "Content Security Policy" in text] == []


@pytest.fixture
def look() -> Callable[[Page, str], None]:
    """The page fits a small screen, and its words stand out, light and dark."""

    def look(page: Page, name: str) -> None:
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            for width in (360, 1440):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, name
                if PICTURES:
                    page.screenshot(path=f"{PICTURES}/{name}-{theme}-{width}.png", full_page=True)
            # Colours fade from one theme to the other.
            wait_for(lambda: page.evaluate(FAINT) == [])

    return look


def secret(page: Page) -> str:
    page.click("summary:has-text('scan the code')")
    return page.locator("code.secret").inner_text().replace(" ", "")


@pytest.mark.usefixtures("complaints")
def test_admin_sets_up_the_demanded_factor_and_keeps_the_codes(
    both: Any, page: Page, look: Callable[[Page, str], None]
) -> None:
    server, _ = both
    page.goto(f"{server.url}/login")
    look(page, "login")
    page.fill("[name=username]", "alice")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/login/second-factor")
    drawn = page.locator("img.qr")
    assert drawn.evaluate("image => image.complete && image.naturalWidth") > 100
    totp = pyotp.TOTP(secret(page))
    look(page, "enrol")
    page.fill("[name=code]", "12345")
    page.press("[name=code]", "Enter")
    expect(page.locator(".invalid-feedback")).to_contain_text("wrong or has been used")
    page.fill("[name=code]", totp.now())
    page.press("[name=code]", "Enter")
    expect(page.locator(".recovery-codes li")).to_have_count(10)
    look(page, "codes")
    page.click("text=I have saved them")
    expect(page.locator("#connection")).to_contain_text("Live")
    page.goto(f"{server.url}/settings/second-factor")
    look(page, "on")
    page.goto(f"{server.url}/settings")
    look(page, "settings")
    page.goto(f"{server.url}/users")
    look(page, "users")


@pytest.mark.usefixtures("complaints")
def test_button_leads_to_the_provider_and_back(
    both: Any, page: Page, look: Callable[[Page, str], None]
) -> None:
    server, provider = both
    provider.person("s-1", preferred_username="dora", groups=["ops"])
    page.goto(f"{server.url}/login?next=/jobs")
    page.click("text=Sign in with the example account")
    page.wait_for_url(f"{server.url}/jobs")
    expect(page.locator("body")).to_have_attribute("data-role", "operator")
    page.goto(f"{server.url}/settings/sign-on")
    look(page, "linked")


@pytest.mark.usefixtures("complaints")
def test_user_links_their_account_and_turns_a_factor_on(
    both: Any, page: Page, look: Callable[[Page, str], None]
) -> None:
    server, provider = both
    provider.person("s-2", groups=["ops"])
    page.goto(f"{server.url}/login")
    page.fill("[name=username]", "bob")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.goto(f"{server.url}/settings/sign-on")
    look(page, "link")
    page.fill("[name=current_password]", PASSWORD)
    page.press("[name=current_password]", "Enter")
    page.click("text=Continue to the example account")
    page.wait_for_url("**/settings/sign-on")
    expect(page.locator("main")).to_contain_text("Account there")

    page.goto(f"{server.url}/settings/second-factor")
    look(page, "off")
    page.click("main button")
    totp = pyotp.TOTP(secret(page))
    look(page, "setup")
    page.fill("[name=current_password]", PASSWORD)
    page.fill("[name=code]", totp.now())
    page.press("[name=code]", "Enter")
    expect(page.locator(".recovery-codes li")).to_have_count(10)
    page.context.clear_cookies()
    page.goto(f"{server.url}/login")
    page.fill("[name=username]", "bob")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/login/code")
    look(page, "ask")
