"""Pages of a real portal in a real Chromium: fixtures for the conftests that want them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser import chromium
from tests.support import recorder
from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, with_users
from tests.support.project import ROOT
from tests.support.users import PASSWORD

SignIn = Callable[..., None]
Visit = Callable[..., Page]


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


@pytest.fixture(scope="module")
def portal(
    request: pytest.FixtureRequest,
    migrated: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PortalServer]:
    """A running portal for all tests of a module; its ``SETTINGS`` are the portal's. A module that
    measures has ``PORTAL`` for one that is no copy."""
    folder = tmp_path_factory.mktemp("portal")
    kind = getattr(request.module, "PORTAL", CopiedPortal)
    server = with_users(folder, migrated, kind, **getattr(request.module, "SETTINGS", {}))
    server.start()
    yield server
    server.clean_up()


@pytest.fixture
def portal_server(migrated: Path, tmp_path: Path) -> Iterator[PortalServer]:
    """A running portal with alice (admin), bob (operator) and charlie (viewer)."""
    server = with_users(tmp_path, migrated, CopiedPortal)
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
            context.add_cookies([person.browser_cookie])  # type: ignore[list-item]
            context.add_init_script(f"{script};{recorder.SCRIPT.read_text()}")
        page = context.new_page()
        page.goto((at or person.server.url) + path)
        return page

    return open_page


AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ['violations'] });
  const where = (one) => one.nodes.map((node) => node.html.slice(0, 160)).join(' | ');
  return violations.map((one) => `${one.id}: ${where(one)}`);
}"""


LONG_NAME = "Measurements" * 16 + "12345678"


# Ratio of contrast by WCAG 2 of each text that is shown, where it is below AA.
FAINT = """() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const over = (layers) => {
    canvas.fillStyle = '#fff';
    canvas.fillRect(0, 0, 1, 1);
    for (const layer of layers) { canvas.fillStyle = layer; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    const box = element.getBoundingClientRect();
    if (!text || !element.checkVisibility({ visibilityProperty: true }) || box.width < 2) continue;
    if (element.closest('.disabled, :disabled, option, .skip-link')) continue;
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.unshift(getComputedStyle(at).backgroundColor);
    }
    const style = getComputedStyle(element);
    const behind = over(layers);
    const [a, b] = [light(over([...layers, style.color])), light(behind)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 600);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)} “${text.slice(0, 40)}”`);
  }
  return faint;
}"""


# What its keys say of each point, from the first to the last.
POINTS = """() => {
  const chart = document.querySelector('.chart-canvas');
  const press = (key) => {
    chart.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    return chart.getAttribute('aria-valuetext');
  };
  const said = [press('Home')];
  const number = Number(chart.getAttribute('aria-valuemax')) + 1;
  while (said.length < number) said.push(press('ArrowRight'));
  return said;
}"""


def points(page: Page) -> list[str]:
    page.wait_for_selector(".chart-canvas .uplot")
    said: list[str] = page.evaluate(POINTS)
    return said


def drawn(page: Page) -> int:
    """Number of points."""
    return int(page.locator(".chart-canvas").get_attribute("aria-valuemax") or 0) + 1
