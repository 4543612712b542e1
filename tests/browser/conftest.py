"""Fixtures of the browser tests: a real portal, and a real Chromium that looks at it."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from portal.db import migrate, session
from portal.services.accounts import users
from portal.settings import load_settings
from tests.browser import chromium
from tests.support import recorder
from tests.support.people import Person
from tests.support.portal_server import PASSWORD, USERS, PortalServer

SignIn = Callable[..., None]
Visit = Callable[..., Page]
DATA = pytest.StashKey[Path]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@functools.cache
def launched(config: pytest.Config) -> Browser:
    """The one browser of a run, also where several folders' fixtures ask for it."""
    playwright = sync_playwright().start()
    config.add_cleanup(playwright.stop)
    browser = playwright.chromium.launch(
        executable_path=chromium.executable(),
        args=chromium.ARGUMENTS,
        env=chromium.environment(),
        chromium_sandbox=False,
    )
    config.add_cleanup(browser.close)
    return browser


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> Browser:
    return launched(pytestconfig)


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
def portal_with_users(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Data of a portal with alice, bob and charlie: made once, since each hash takes its time."""
    if DATA not in pytestconfig.stash:
        pytestconfig.stash[DATA] = data = tmp_path_factory.mktemp("portal with users")
        settings = load_settings(data_dir=data, transfer_roots=(data / "files",))
        migrate.upgrade(settings)
        engine = session.connect(settings.database_url)
        for name, role in USERS.items():
            users.create_user(name, role, PASSWORD)
        session.session.remove()
        engine.dispose()
    return pytestconfig.stash[DATA]


@pytest.fixture(scope="module")
def portal(
    request: pytest.FixtureRequest,
    portal_with_users: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PortalServer]:
    """A running portal for all tests of a module; its ``SETTINGS`` are the portal's."""
    folder = tmp_path_factory.mktemp("portal")
    shutil.copytree(portal_with_users, folder / "data")
    server = PortalServer(folder, **getattr(request.module, "SETTINGS", {}))
    server.start()
    yield server
    server.clean_up()


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


@pytest.fixture
def visit(new_context: Callable[..., BrowserContext]) -> Visit:
    """``visit(person, "/jobs")`` opens a page in a browser of this person, signed in already;
    ``at`` is another way to the portal, ``inside`` a browser that is open already, ``script`` what
    runs before all others."""

    def open_page(
        person: Person,
        path: str = "/",
        *,
        at: str = "",
        inside: BrowserContext | None = None,
        script: str = "",
        **options: object,
    ) -> Page:
        context = inside or new_context(**options)
        if inside is None:
            context.add_cookies([person.cookie])  # type: ignore[list-item]
            context.add_init_script(f"{script};{recorder.SCRIPT.read_text()}")
        page = context.new_page()
        page.goto((at or person.server.url) + path)
        return page

    return open_page
