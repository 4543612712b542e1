"""The product as people have it: by `make run`, and by the image, which installs the wheel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.shipped import environment as shipped
from tests.shipped.image import Image
from tests.support.portal_server import PortalServer
from tests.support.served import Serve


@pytest.fixture(scope="session")
def image(image_to_come: Callable[[], Image]) -> Image:
    return image_to_come()


@pytest.fixture(params=["make run", "image"])
def program(request: pytest.FixtureRequest) -> list[str]:
    """What is written before a command such as ``run``."""
    if request.param == "make run":
        return [shipped.python(), str(shipped.ROOT / "manage.py")]
    image: Image = request.getfixturevalue("image")
    return [str(image.installed / "bin" / "portal")]


@pytest.fixture
def serve(program: list[str], tmp_path: Path) -> Iterator[Serve]:
    """A portal of it, not yet started: ``serve("--processes", "2", PORTAL_REDIS_URL=…)``."""
    made: list[PortalServer] = []

    def prepare(*options: str, **settings: str) -> PortalServer:
        folder = tmp_path / f"portal {len(made)}"
        folder.mkdir()
        server = PortalServer(folder, **settings)
        server.program, server.options, server.cwd = program, options, folder
        made.append(server)
        return server

    yield prepare
    for server in made:
        server.clean_up()
