"""Who asks while a query is under way shares the next one, and gets an answer of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.exc import SQLAlchemyError

from portal.db.session import session
from portal.services.accounts import principals
from portal.services.accounts.principals import Principal
from tests.support.applications import engine_of
from tests.support.sessions import token_of
from tests.support.waiting import wait_for


class QueryGate:
    """Holds the first query up until it is opened, and counts them all."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.queries = 0

    def __call__(self, *_query: object) -> None:
        self.queries += 1
        assert self.queries > 1 or self.open.wait(20)


@pytest.fixture
def gate(app: Flask) -> Iterator[QueryGate]:
    made = QueryGate()
    yield made
    event.remove(engine_of(app), "before_cursor_execute", made)


@pytest.fixture
def ask(
    app: Flask, gate: QueryGate
) -> Iterator[Callable[[list[str]], list[Future[Principal | None]]]]:
    """Asks for the first of these tokens, and for the others while its query is under way."""
    with ThreadPoolExecutor(16) as pool:

        def begin(tokens: list[str]) -> list[Future[Principal | None]]:
            session.remove()
            event.listen(engine_of(app), "before_cursor_execute", gate)
            asked = [pool.submit(principals.find, tokens[0])]
            wait_for(lambda: gate.queries == 1)
            asked += [pool.submit(principals.find, token) for token in tokens[1:]]
            lookups = app.context[principals._Lookups]
            rest = {principals.digest(token) for token in tokens[1:]}
            wait_for(
                lambda: lookups.next_batch is not None and lookups.next_batch.token_hashes == rest
            )
            return asked

        yield begin
        gate.open.set()


def test_all_who_wait_share_one_query(browser: Any, gate: QueryGate, ask: Any) -> None:
    names = ["alice", "bob", "bella", "charlie"]
    tokens = [token_of(browser(name)) for name in names]
    asked = ask([tokens[0], *tokens, tokens[1]])
    gate.open.set()
    found = [one.result(20) for one in asked]
    assert [one.username for one in found if one is not None] == [names[0], *names, names[1]]
    assert gate.queries == 2


def test_who_is_unknown_among_others_is_unknown_alone(
    browser: Any, gate: QueryGate, ask: Any
) -> None:
    bob, bella = token_of(browser("bob")), token_of(browser("bella"))
    asked = ask([bob, "nobody's", bella])
    gate.open.set()
    found = [one.result(20) for one in asked]
    assert [one and one.username for one in found] == ["bob", None, "bella"]


def test_query_that_fails_is_told_to_each_who_waited_and_to_nobody_after(
    browser: Any, app: Flask, gate: QueryGate, ask: Any
) -> None:
    bob, bella = token_of(browser("bob")), token_of(browser("bella"))
    asked = ask([bob, bob, bella])
    with engine_of(app).connect() as other:
        other.exec_driver_sql("ALTER TABLE sessions RENAME TO elsewhere")
        other.commit()
    gate.open.set()
    for one in asked[1:]:
        with pytest.raises(SQLAlchemyError):
            one.result(20)
    session.execute(text("ALTER TABLE elsewhere RENAME TO sessions"))
    session.commit()
    assert principals.find(bella) is not None
