"""SQLite replaces rows without deleting them: no way of it passes by what holds the audit log."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from portal.db.session import session, write
from portal.services import audit
from portal.services.actor import Actor

_COLUMNS = "at, actor, action, target, detail, outcome, address, hash"
_FORGED = "at, 'nobody', 'sign-in', target, 'forged', 'ok', '', hash"


@pytest.fixture
def trail(app: Flask) -> None:
    for number in range(5):
        with write() as tx:
            audit.record(tx, "test", Actor(), target=f"entry {number}")
            tx.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO audit (id, COLUMNS) SELECT 3, FORGED FROM audit WHERE id = 3",
        "REPLACE INTO audit (id, COLUMNS) SELECT 3, FORGED FROM audit WHERE id = 3",
        "REPLACE INTO audit (rowid, COLUMNS) SELECT 3, FORGED FROM audit WHERE id = 3",
        "REPLACE INTO audit (id, COLUMNS) SELECT '3', FORGED FROM audit WHERE id = 3",
        "REPLACE INTO audit (id, COLUMNS) SELECT 3.0, FORGED FROM audit WHERE id = 3",
        "REPLACE INTO audit (id, COLUMNS) SELECT id, FORGED FROM audit",
        "INSERT INTO audit (id, hash) SELECT 3, 'x' WHERE 1 ON CONFLICT DO UPDATE SET hash = ''",
        "UPDATE OR REPLACE audit SET id = 3 WHERE id = 4",
        "UPDATE OR REPLACE audit SET detail = 'forged' WHERE id = 3",
    ],
)
def test_entry_is_replaced_by_no_statement(trail: None, statement: str) -> None:
    statement = statement.replace("COLUMNS", _COLUMNS).replace("FORGED", _FORGED)
    session.rollback()
    with pytest.raises(IntegrityError, match="only ever added to"):
        session.execute(text(statement))
    session.rollback()
    assert session.execute(text("SELECT count(*) FROM audit WHERE detail = 'forged'")).scalar() == 0
    assert audit.verify().fault == ""


def test_entries_are_still_added_and_cut(trail: None) -> None:
    with write() as tx:
        audit.record(tx, "test", Actor(), target="later")
        tx.commit()
    assert audit.verify().fault == ""
