"""Fixtures of the browser tests: a real portal, and a real Chromium that looks at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import (  # noqa: F401 - fixtures
    browser,
    new_context,
    page,
    portal,
    portal_server,
    sign_in,
    visit,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")
