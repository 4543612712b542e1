"""Fixtures of the tests of several web processes: one such portal for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.parts import Postgres, Redis
from tests.support.web_processes import Web, scale_out


@pytest.fixture(scope="module")
def module_database(postgres_server: Postgres, postgres_template: str) -> Iterator[str]:
    postgres_server.start()
    url = postgres_server.create(postgres_template)
    yield url
    postgres_server.start()
    postgres_server.drop(url)


@pytest.fixture(scope="module")
def web(
    module_database: str, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    """Two web processes, with the users of ``tests.support.users``."""
    redis_server.start()
    server = scale_out(tmp_path_factory.mktemp("web"), module_database, redis_server.url)
    server.start()
    yield server
    server.clean_up()
