"""Fixtures of the tests against faults: those of the browser tests, and ways that break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.pages import browser, new_context, portal, visit  # noqa: F401 - fixtures
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.proxies import FaultyWay, Nginx


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("faults")
            if "visit" in getattr(item, "fixturenames", ()):
                item.add_marker("browser")


@pytest.fixture(scope="module")
def bob(portal: PortalServer) -> Person:  # noqa: F811 - the fixture imported above
    return Person(portal, "bob")


@pytest.fixture
def way(portal: PortalServer) -> Iterator[FaultyWay]:  # noqa: F811
    found = FaultyWay(portal.port)
    yield found
    found.stop()


@pytest.fixture
def nginx(portal: PortalServer, tmp_path: Path) -> Iterator[Callable[..., Nginx]]:  # noqa: F811
    """``nginx("strips")`` stands in front of the portal and does that to upgrades."""
    running: list[Nginx] = []

    def start(upgrade: str, **options: int) -> Nginx:
        folder = tmp_path / f"nginx {len(running)}".replace(" ", "-")
        running.append(Nginx(folder, portal.port, upgrade=upgrade, **options))
        return running[-1]

    yield start
    for one in running:
        one.stop()
