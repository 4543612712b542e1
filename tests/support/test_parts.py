"""The servers that other tests stand on come, go and come back."""

from __future__ import annotations

import psycopg
import pytest
import redis as redis_package
from sqlalchemy import select

from portal.db import session
from portal.models import User
from tests.support.parts import Postgres, Redis
from tests.support.users import USERS


def names(url: str) -> set[str]:
    engine = session.connect(url)
    try:
        return set(session.session.scalars(select(User.username)))
    finally:
        session.session.remove()
        engine.dispose()


def test_every_test_has_a_database_with_the_users(postgres_url: str) -> None:
    assert names(postgres_url) == set(USERS)


def test_a_killed_database_comes_back_with_what_it_held(
    postgres: Postgres, postgres_url: str
) -> None:
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url, connect_timeout=2)
    postgres.start()
    assert names(postgres_url) == set(USERS)


def test_a_stopped_queue_comes_back_empty(redis: Redis) -> None:
    with redis.client() as client:
        client.set("a", "b")
        redis.stop()
        with pytest.raises(redis_package.ConnectionError):
            client.ping()
        redis.start()
        assert client.get("a") is None
