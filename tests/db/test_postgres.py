"""How a process rides through a restart of PostgreSQL, and what it leaves behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from portal.db import postgres
from portal.db import session as database
from portal.db.postgres import Outage
from portal.db.session import AWAY
from portal.runtime.context import current
from tests.support.parts import Postgres
from tests.support.waiting import wait_for


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
    wait_for(lambda: outage_of(engine)._since is not None)
    assert not outage_of(engine).is_long
    engine.dispose()
    asking.join(3)  # less than a restart is waited for
    assert len(failures) == 1


def statements(engine: Engine, *told: str, frozen: float = 0.0) -> None:
    """In one transaction; the process is frozen after the first."""
    with engine.begin() as connection:
        for statement in told:
            connection.execute(text(statement))
            time.sleep(frozen)
            frozen = 0.0


IDLE = "SET LOCAL idle_in_transaction_session_timeout = '50ms'"


@pytest.mark.parametrize("after", [[], ["SELECT 1"]], ids=["commit", "statement"])
def test_session_that_ended_while_its_process_was_frozen_counts_as_away(
    engine: Engine, after: list[str]
) -> None:
    with pytest.raises(OperationalError) as raised:
        statements(engine, IDLE, *after, frozen=0.3)
    assert raised.value.connection_invalidated
    assert "idle-in-transaction" in database.reason(raised.value)
    statements(engine, "SELECT 1")  # the next connection is good


def test_frozen_process_holds_its_rows_for_a_moment_only(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for a row that it has written, and so would all that they hold."""
    monkeypatch.setattr(postgres, "IDLE_IN_TRANSACTION", "200ms")
    frozen, other = (postgres.engine(postgres_url, answer_within=10) for _ in range(2))
    statements(other, "CREATE TABLE held (value integer)", "INSERT INTO held VALUES (0)")
    count = text("UPDATE held SET value = value + 1 RETURNING value")
    try:
        with frozen.connect() as stopped:
            assert stopped.scalar(count) == 1
            with other.begin() as connection:
                assert connection.scalar(count) == 1  # that of the frozen one was rolled back
            with pytest.raises(AWAY):
                stopped.commit()
    finally:
        statements(other, "DROP TABLE held")
        frozen.dispose()
        other.dispose()


def test_server_that_only_reads_counts_as_away(engine: Engine) -> None:
    """So is one that another server has replaced."""
    with pytest.raises(OperationalError) as raised:
        statements(engine, "SET LOCAL transaction_read_only = on", "CREATE TABLE nobody_may ()")
    assert raised.value.connection_invalidated


def test_mistake_in_a_statement_is_none_of_the_database(engine: Engine) -> None:
    with pytest.raises(ProgrammingError) as raised:
        statements(engine, "SELECT nonsense")
    assert not isinstance(raised.value, AWAY)


def hold_a_right(seconds: float) -> bool:
    with database.advisory_lock(4711) as alone:
        time.sleep(seconds)
        return alone


def test_who_was_frozen_with_a_right_finds_the_database_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep takes that for an outage, and goes on with its next round."""
    monkeypatch.setattr(database, "_EXCLUSIVE_SILENCE", "50ms")
    current().put(database.Database(engine))
    with pytest.raises(AWAY):
        hold_a_right(0.3)
    assert hold_a_right(0)
