"""A proxy cuts connections that are silent; ours never are."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser import recorder

MINUTES = 2


@pytest.mark.slow
def test_pings_keep_a_quiet_page_connected_behind_a_proxy_that_cuts_silence_after_fifteen_seconds(
    quiet_page: Page,
) -> None:
    rest = MINUTES * 60 - recorder.page_time(quiet_page)
    quiet_page.wait_for_timeout(max(0.0, rest) * 1000)

    assert recorder.states(quiet_page) == ["connecting", "connected"]
    assert len(recorder.attempts(quiet_page)) == 1
