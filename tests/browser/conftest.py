"""Fixtures of the browser tests: a real portal, and a real Chromium that looks at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser import chromium
from tests.browser.portal_server import PASSWORD, PortalServer

SignIn = Callable[..., None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable(),
            args=chromium.ARGUMENTS,
            env=chromium.environment(),
            chromium_sandbox=False,
        )
        yield browser
        browser.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browsers that share no cookie: one for each person in a test."""
    contexts: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})  # type: ignore[arg-type]
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    return new_context().new_page()


@pytest.fixture(scope="session")
def portal_with_users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a portal with alice, bob and charlie: made once, since each hash takes its time."""
    server = PortalServer(tmp_path_factory.mktemp("portal with users"))
    server.manage("db", "upgrade")
    server.create_users()
    return server.data


@pytest.fixture
def portal_server(portal_with_users: Path, tmp_path: Path) -> Iterator[PortalServer]:
    """A running portal with alice (admin), bob (operator) and charlie (viewer)."""
    shutil.copytree(portal_with_users, tmp_path / "data")
    server = PortalServer(tmp_path)
    server.start()
    yield server
    server.clean_up()


@pytest.fixture
def sign_in() -> SignIn:
    def sign_in(page: Page, server: PortalServer, name: str) -> None:
        page.goto(f"{server.url}/login")
        page.fill("[name=username]", name)
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        expect(page.locator("body[data-user]")).to_be_attached()

    return sign_in
