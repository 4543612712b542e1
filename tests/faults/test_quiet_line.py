"""A proxy cuts connections that are silent; ours never are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.support import recorder
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.proxies import Nginx

SILENCE_SECONDS = 15


@pytest.fixture
def quiet_page(portal: PortalServer, bob: Person, visit: Visit, tmp_path: Path) -> Iterator[Page]:
    """A page where nothing happens, behind an nginx that cuts what is silent."""
    proxy = Nginx(tmp_path / "nginx", portal.port, upgrade="forwards", idle=SILENCE_SECONDS)
    yield visit(bob, "/settings", at=proxy.url)
    proxy.stop()


@pytest.mark.slow
def test_pings_keep_a_quiet_page_connected_behind_a_proxy_that_cuts_silence_after_fifteen_seconds(
    quiet_page: Page,
) -> None:
    recorder.wait_for_state(quiet_page, "connected")
    quiet_page.wait_for_timeout(3 * SILENCE_SECONDS * 1000)

    assert recorder.states(quiet_page) == ["connecting", "connected"]
    assert len(recorder.attempts(quiet_page)) == 1
