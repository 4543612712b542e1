"""How a process rides through a restart of PostgreSQL, and what it leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from portal.db import postgres
from portal.db.postgres import Outage
from tests.conftest import wait_for
from tests.parts import Postgres


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    made = postgres.engine(postgres_url, answer_within=10)
    yield made
    made.dispose()


def away(outage: Outage, first: int, last: int) -> None:
    """An attempt each second that fails at once."""
    for second in range(first, last + 1):
        outage.failed("refused", float(second), float(second))


def test_outage_is_long_once_it_takes_longer_than_a_restart() -> None:
    outage = Outage()
    away(outage, 100, 104)
    assert not outage.is_long
    away(outage, 105, 106)
    assert outage.is_long


def test_outage_that_ended_is_forgotten() -> None:
    outage = Outage()
    away(outage, 100, 120)
    outage.ended()
    away(outage, 121, 122)
    assert not outage.is_long


def test_outage_whose_end_nobody_noticed_is_forgotten_too() -> None:
    outage = Outage()
    away(outage, 100, 120)
    away(outage, 126, 130)
    assert not outage.is_long


def test_outage_goes_on_while_each_attempt_takes_its_time() -> None:
    outage = Outage()
    for second in range(100, 120, 5):
        outage.failed("no answer", float(second), second + 4.5)
    assert outage.is_long


def outage_of(engine: Engine) -> Outage:
    (connecting,) = engine.dialect.dispatch.do_connect
    found = connecting._outage
    assert isinstance(found, Outage)
    return found


def test_connection_that_was_open_all_the_time_ends_the_outage(engine: Engine) -> None:
    engine.connect().close()
    outage = outage_of(engine)
    away(outage, 100, 120)
    assert outage.is_long
    engine.connect().close()
    away(outage, 121, 122)
    assert not outage.is_long


def test_connection_that_comes_back_after_the_end_of_all_is_closed(engine: Engine) -> None:
    late = engine.connect()
    opened = late.connection.driver_connection
    assert opened is not None
    engine.dispose()
    assert not opened.closed
    late.close()
    assert opened.closed


def test_nobody_waits_for_a_database_after_the_end_of_all(
    engine: Engine, postgres: Postgres
) -> None:
    postgres.kill()
    failures: list[OperationalError] = []

    def ask() -> None:
        try:
            engine.connect()
        except OperationalError as error:
            failures.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    wait_for(lambda: outage_of(engine).is_going_on)
    assert not outage_of(engine).is_long
    engine.dispose()
    asking.join(3)  # less than a restart is waited for
    assert len(failures) == 1
